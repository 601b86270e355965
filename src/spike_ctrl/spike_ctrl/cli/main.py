"""The door of spike-ctrl: Ctrl-C ends it quietly, also while the modules of its verbs still load."""

from __future__ import annotations

import os
import signal
import sys


def main(arguments: list[str] | None = None) -> int:
    """Gives the exit code: that of the verb, 2 for a wrong command line, 130 after Ctrl-C."""
    hurried = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not where whoever started it ignores SIGINT
    if hurried:  # a KeyboardInterrupt in an import may come out as an error of that import
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))
    from spike_ctrl.cli import verbs

    parser = verbs.parser()
    if hurried:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return verbs.run(parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
