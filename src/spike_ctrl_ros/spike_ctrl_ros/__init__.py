"""What all nodes of spike_ctrl share: QoS, message conversion, parameters, and start and end of a process."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path


def end_quietly(package: Sequence[str]) -> None:
    """Let Ctrl-C end a node without a traceback while its modules are loading. Later `spin.run` handles it.

    package: `__path__` of the node's package, where program NAME is in NAME_node.py. A Ctrl-C that the starting process
    blocked ends the node here. In other programs that import the modules, such as launch files, Ctrl-C works as before.
    """
    if (Path(package[0]) / f"{Path(sys.argv[0]).name}_node.py").is_file():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        let_through()


def let_through() -> None:
    """Deliver a SIGINT that was blocked."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
