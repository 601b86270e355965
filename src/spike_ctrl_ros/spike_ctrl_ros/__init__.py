"""What all spike_ctrl nodes share: QoS, message conversion, parameters, and the life of a process."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path


def end_quietly(package: Sequence[str]) -> None:
    """Let Ctrl-C end a node without a traceback while its modules still load; `spin.run` takes over later.

    package: `__path__` of the node's package, where program NAME lies in NAME_node.py. Who started the node may have
    held an earlier Ctrl-C back: it ends it here. Another program that looks at the modules, as a launch file does, answers
    Ctrl-C as before.
    """
    if (Path(package[0]) / f"{Path(sys.argv[0]).name}_node.py").is_file():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        let_through()


def let_through() -> None:
    """Of SIGINT what was held back."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
