"""What all spike_ctrl nodes share: QoS, message conversion, parameters, and the life of a process."""

import signal


def end_quietly() -> None:
    """Let Ctrl-C end this process without a traceback while a node's modules still load; `spin.run` takes over later."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
