"""As much of Ray as is used, in this process."""


class FakeRay:
    """lost: whether the machine of this result dies."""

    class exceptions:
        class RayError(Exception):
            pass

    def __init__(self, lost=lambda result: False):
        self.lost, self.ended = lost, False

    def init(self, address, **_):
        if address != "here":
            raise ConnectionError(f"nothing at {address}\nreally")

    def remote(self, **_):
        def task(function):
            task.remote = lambda *arguments: lambda: function(*arguments)
            return task

        return task

    def wait(self, references, num_returns):
        return references[:num_returns], references[num_returns:]

    def get(self, reference):
        result = reference()
        if self.lost(result):
            raise self.exceptions.RayError("node died")
        return result

    def cancel(self, *_, **__):
        pass

    def shutdown(self):
        self.ended = True
