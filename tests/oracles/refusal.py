"""What `spike-ctrl` answers to a command line that it refuses."""

from spike_ctrl.cli import main


def refused(capsys, *arguments):
    """The one line of the error, after exit code 2."""
    assert main.main(list(arguments)) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1
    return message.removeprefix("error: ").rstrip("\n")
