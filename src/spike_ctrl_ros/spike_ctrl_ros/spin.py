"""Running a node as a process: start, spin, orderly end, exit code."""

import faulthandler
import inspect
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import rclpy
from rclpy.experimental import EventsExecutor
from rclpy.signals import SignalHandlerOptions

from spike_ctrl._files import compile_notice
from spike_ctrl._files.errors import UsageError
from spike_ctrl.flight import realtime_scheduling
from spike_ctrl_ros import let_through
from spike_ctrl_ros.node import ProcessNode

PERIOD = 0.1  # s between checks for signals
ENDING = 5.0  # s in which the middleware must release a node that has ended
QUIET = 1.0  # s: a starting node compiles and looks for rivals, and must not take time from nodes that fly already
PRIORITY = "SPIKE_CTRL_PRIORITY"  # of SCHED_FIFO, 1 to 99; 0 or empty: the ordinary scheduler


class NodeError(Exception):
    """The node cannot continue; one line says why and what to do. For constructors; in callbacks see `run`."""


def run(make_node: Callable[[], ProcessNode], arguments: list[str] | None = None, *, above: int = 0) -> int:
    """Make the node and spin it until SIGINT, SIGTERM or its own end. Gives the exit code.

    A node ends itself in a callback by setting `self.finished = True` or `self.failure = "one line that says why"`. It does
    not raise, because the executor would log the whole traceback. After a signal its method `stopping` is called repeatedly:
    while it returns True the node continues. `close` is called while messages can still be sent. A second signal ends the
    process at once.

    With SPIKE_CTRL_PRIORITY in the environment, all threads of the process run under SCHED_FIFO one second after the start.
    Most of the time from a state to its command is spent waking the threads up, and on a busy computer waiting for a core.
    above: added to the priority, for nodes that others wait for, or that must run while others compute.

    Exit code: `node.exit_code`, by default 0, after an orderly end. 1: a failure, or a middleware that did not release the
    node; then its threads are printed. 2: a UsageError, such as a parameter or a file that cannot be used, or wrong ROS
    arguments. A failure and 2 print one line on stderr. Any other exception is a bug and is raised.
    """
    stop: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.append(number)
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    let_through()
    compile_notice.on_stderr()
    try:
        priority = checked_priority(PRIORITY, os.environ.get(PRIORITY, ""))
        try:  # rclpy's own signal handlers would close the context before `close` could send
            rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
        except RuntimeError as error:  # the error of wrong arguments has no public name; this is its base
            raise UsageError(str(error).partition(", at ")[0]) from None
        node = make_node()
        patience = time.monotonic() + QUIET
        executor = EventsExecutor()
        executor.add_node(node)
        # rclpy's logger asks for the file of each message. The first look takes 30 ms and more, three control periods.
        inspect.getmodule(inspect.currentframe())
        realtime_scheduling.freeze_objects()
        try:
            while not node.finished and not (stop and not node.stopping()):
                executor.spin_once(PERIOD)
                if priority and time.monotonic() > patience:
                    _hurry(min(priority + above, 99))
                    priority = 0
                if node.failure:
                    raise NodeError(node.failure)
        finally:
            node.close()
            _give_way()
            executor.shutdown()  # it holds the DDS participant, which would otherwise end after the time limit
            node.destroy_node()
        return node.exit_code
    except (UsageError, NodeError) as error:
        _give_way()  # a node whose constructor raised ends with the error
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 2 if isinstance(error, UsageError) else 1
    finally:
        rclpy.try_shutdown()
        faulthandler.cancel_dump_traceback_later()


def checked_priority(name: str, text: str) -> int:
    """A priority of SCHED_FIFO from text. name: of the variable or argument. Raises UsageError."""
    if text and not (text.isdecimal() and int(text) <= 99):
        raise UsageError(f"{name}: found '{text}', wanted 0 to 99")
    return int(text or 0)


def _hurry(priority: int) -> None:
    """Put all threads of this process under SCHED_FIFO. Threads that the middleware starts later inherit it."""
    try:
        for thread in os.listdir("/proc/self/task"):
            os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError:
        raise UsageError(
            f"{PRIORITY}: this node takes {priority}, which this user may not set: raise `ulimit -r`, or leave it out"
        ) from None


def _give_way() -> None:
    """Leave SCHED_FIFO and, as far as the system allows, all processors but one. The middleware then has ENDING (s) to end.

    If a peer leaves while Fast DDS removes a participant's listener, Fast DDS polls a lock that the awaited thread needs
    too, and frees it for nanoseconds only (eProsima/Fast-DDS#6513). On another processor that thread wakes up too late again
    and again. On the same processor it runs while the lock is free.
    """
    faulthandler.dump_traceback_later(ENDING, exit=True)
    processors = sorted(os.sched_getaffinity(0))
    for thread in map(int, os.listdir("/proc/self/task")):
        with suppress(OSError):  # the thread has ended, or may not be moved
            os.sched_setaffinity(thread, {processors[os.getpid() % len(processors)]})
            if os.sched_getscheduler(thread) == os.SCHED_FIFO:
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
