"""The life of a node process: start, spin, orderly end, exit code.

def main():
    sys.exit(run(Simulator))
"""

import faulthandler
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import rclpy
from rclpy.experimental import EventsExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from spike_ctrl.flight import realtime_scheduling
from spike_ctrl_ros import let_through
from spike_ctrl_ros.declared_parameters import NodeParameterError

PERIOD = 0.1  # s between looks at the signals
ENDING = 5.0  # s in which the middleware must let go of a node that has ended
QUIET = 1.0  # s: a node that starts compiles and looks for rivals, and must not starve those that fly already
PRIORITY = "SPIKE_CTRL_PRIORITY"  # of SCHED_FIFO, 1 to 99; 0 or empty: the ordinary scheduler


class NodeError(Exception):
    """The node cannot go on; one line says why and what to do. Raised by its constructor; in callbacks see `run`."""


def run(make_node: Callable[[], Node], arguments: list[str] | None = None, *, above: int = 0) -> int:
    """Make the node and spin it until SIGINT, SIGTERM or its own end. Gives the exit code.

    A node ends itself in a callback by setting `self.finished = True` or `self.failure = "one line that says why"` (the
    executor logs an exception with its whole traceback before it passes it on). Its method `stopping`, where it has one, is
    asked after a signal and then time and again whether the node must go on; `close` is called while messages still go out.
    A second signal ends the process at once.

    With SPIKE_CTRL_PRIORITY in the environment all threads of the process run under SCHED_FIFO a second after its start:
    most of the time from a state to its command goes into waking them up, and on a busy computer into waiting for a core.
    above: so many priorities higher, for who is waited for first, or must go on while others compute.

    0: an orderly end. 1: a failure, or a middleware that did not let the node go: its threads are told. 2: a ParameterError
    or wrong ROS arguments. A failure and 2 print one line on stderr; any other exception is a bug and passes.
    """
    stop = []

    def on_signal(number, frame):
        stop.append(number)
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    let_through()
    try:
        priority = checked_priority(PRIORITY, os.environ.get(PRIORITY, ""))
        _init(arguments)
        node = make_node()
        patience = time.monotonic() + QUIET
        executor = EventsExecutor()
        executor.add_node(node)
        realtime_scheduling.freeze_objects()
        try:
            while not getattr(node, "finished", False) and not (stop and not _stays(node)):
                executor.spin_once(PERIOD)
                if priority and time.monotonic() > patience:
                    _hurry(min(priority + above, 99))
                    priority = 0
                if getattr(node, "failure", None):
                    raise NodeError(node.failure)
        finally:
            if hasattr(node, "close"):
                node.close()
            _give_way()
            executor.shutdown()  # it holds the participant, which would otherwise go after the watch
            node.destroy_node()
        return 0
    except (NodeParameterError, NodeError) as error:
        _give_way()  # a node whose constructor raised goes with the error
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 2 if isinstance(error, NodeParameterError) else 1
    finally:
        rclpy.try_shutdown()
        faulthandler.cancel_dump_traceback_later()


def _stays(node: Node) -> bool:
    return hasattr(node, "stopping") and node.stopping()


def checked_priority(name: str, text: str) -> int:
    """Of SCHED_FIFO; name: of what was given. Raises ParameterError."""
    if text and not (text.isdecimal() and int(text) <= 99):
        raise NodeParameterError(f"{name}: found '{text}', wanted 0 to 99")
    return int(text or 0)


def _hurry(priority: int) -> None:
    """Put this process under SCHED_FIFO: the threads that there are, and so those that the middleware will start."""
    try:
        for thread in os.listdir("/proc/self/task"):
            os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError:
        raise NodeParameterError(
            f"{PRIORITY}: this node takes {priority}, which this user may not set: raise `ulimit -r`, or leave it out"
        ) from None


def _give_way() -> None:
    """Leave SCHED_FIFO and, as far as the system lets us, all processors but one; the middleware then has ENDING to let go.

    Where a peer leaves just as Fast DDS takes a participant's listener away, it polls a lock that the thread it waits for
    needs, too, and leaves it for nanoseconds (eProsima/Fast-DDS#6513). On another processor that thread wakes up too late
    time and again; on the same one it runs while the lock is free.
    """
    faulthandler.dump_traceback_later(ENDING, exit=True)
    processors = sorted(os.sched_getaffinity(0))
    for thread in map(int, os.listdir("/proc/self/task")):
        with suppress(OSError):  # it has ended, or may not leave where it is
            os.sched_setaffinity(thread, {processors[os.getpid() % len(processors)]})
            if os.sched_getscheduler(thread) == os.SCHED_FIFO:
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def _init(arguments: list[str] | None) -> None:
    try:
        # rclpy's own signal handlers would close the connection before `close` could use it.
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    except rclpy._rclpy_pybind11.RCLError as error:
        raise NodeParameterError(str(error).partition(", at ")[0]) from None
