"""Says that numba compiles, once per process and only where it does: nobody should wonder whether a program hangs."""

import sys
from types import ModuleType

from spike_ctrl._files.after_import import after_import

TEXT = "compiling for this machine, up to 30 s; the next command of this kind finds it compiled"


def on_stderr() -> None:
    """Print TEXT when the first kernel is compiled that later processes find on the disk. Imports nothing slow."""

    def listen(numba: ModuleType) -> None:
        from numba.core import event

        class FirstCompilation(event.Listener):  # type: ignore[misc]
            told = False

            def on_start(self, event: event.Event) -> None:
                if event.data["dispatcher"].stats.cache_path is not None and not self.told:
                    self.told = True
                    print(TEXT, file=sys.stderr, flush=True)

            def on_end(self, event: event.Event) -> None:
                pass

        event.register("numba:compile", FirstCompilation())

    after_import("numba", listen)
