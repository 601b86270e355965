"""The life of a node process.

- SIGINT and SIGTERM: `close` runs while messages can still go out, exit code 0; before that a SIGINT ends it quietly
- a failure that the node names: one line, exit code 1; one that the middleware does not let go ends all the same
- parameters or ROS arguments that do not fit: one line, exit code 2
- a priority that is asked for holds for all its threads until the node ends, or is refused
- its first message looks up the files of no module but its own
"""

import os
import signal
import subprocess
import sys
import time

import pytest
from output import executable

NODE = """
import sys
from dataclasses import dataclass
import rclpy
from spike_ctrl_ros.declared_parameters import declare
from spike_ctrl._files.ranges import setting
from spike_ctrl_ros.node import ProcessNode
from spike_ctrl_ros.spin import run

@dataclass(frozen=True)
class Parameters:
    end: str = setting("never", "How it ends.", choices=("never", "finished", "failure"))

class Toy(ProcessNode):
    def __init__(self):
        super().__init__("toy")
        self.end = declare(self, Parameters).end
        self.create_timer(0.01, self.tick)

    def tick(self):
        print("tick", flush=True)
        if self.end == "finished":
            self.finished = True
        if self.end == "failure":
            self.failure = "tick 7: no answer from guide_policy for 5 s"

    def close(self):
        print("closed", rclpy.ok(), flush=True)

sys.exit(run(Toy))
"""


@pytest.fixture
def toy(ros_domain_id):
    """Start the node in a process of its own with these ROS arguments."""
    started = []

    def start(*arguments: str, **environment: str) -> subprocess.Popen:
        command = [sys.executable, "-c", NODE, "--ros-args", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, env=os.environ | environment, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(toy, number):
    process = toy()
    assert process.stdout.readline() == "tick\n"
    process.send_signal(number)
    out, error = process.communicate(timeout=120)
    assert (process.returncode, out.splitlines()[-1], error) == (0, "closed True", "")


@pytest.mark.parametrize(
    ("arguments", "code", "wanted"),
    [
        (["-p", "end:=finished"], 0, None),
        (["-p", "end:=failure"], 1, "error: tick 7: no answer from guide_policy for 5 s"),
        (["-p", "ent:=never"], 2, "error: unknown parameter 'ent'; did you mean 'end'?"),
        (["-p", "end:=maybe"], 2, "error: parameter 'end': found 'maybe', wanted one of never, finished, failure"),
        (["--params-file", "ghost.yaml"], 2, "error: failed to initialize rcl: Couldn't parse params file"),
    ],
)
def test_its_end_has_an_exit_code_and_one_line_that_says_why(toy, arguments, code, wanted):
    process = toy(*arguments)
    _, error = process.communicate(timeout=120)
    assert process.returncode == code
    lines = [line for line in error.splitlines() if line.startswith("error: ")]
    assert len(lines) == (wanted is not None)
    assert wanted is None or lines[0].startswith(wanted)


def test_a_sigint_that_was_held_back_while_python_starts_ends_a_node_without_a_traceback(ros_domain_id):
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the process inherits it
    try:
        process = subprocess.Popen([executable("guide_policy")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert (out, process.returncode) == (b"", -signal.SIGINT)


def test_who_looks_at_a_nodes_modules_answers_ctrl_c_as_before():
    code = "import signal; import spike_ctrl_guide; assert signal.getsignal(2) is signal.default_int_handler"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def may_hurry() -> bool:
    """Whether this user may ask for SCHED_FIFO; asked in a process of its own."""
    code = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(7))"
    return subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode == 0


needs_real_time = pytest.mark.skipif(not may_hurry(), reason="this user may not set SCHED_FIFO")


@needs_real_time
def test_all_threads_of_a_node_have_the_priority_that_it_is_given(toy):
    process = toy(SPIKE_CTRL_PRIORITY="7")
    assert process.stdout.readline() == "tick\n"
    deadline, found = time.monotonic() + 20, set()
    while found != {(os.SCHED_FIFO, 7)} and time.monotonic() < deadline:  # a second after its start
        threads = [int(thread) for thread in os.listdir(f"/proc/{process.pid}/task")]
        found = {(os.sched_getscheduler(thread), os.sched_getparam(thread).sched_priority) for thread in threads}
    assert found == {(os.SCHED_FIFO, 7)} and len(threads) > 3  # those of the middleware too


@pytest.mark.parametrize("given", ["", "0"])
def test_without_a_priority_a_node_runs_under_the_ordinary_scheduler(toy, given):
    process = toy(SPIKE_CTRL_PRIORITY=given)
    assert process.stdout.readline() == "tick\n"
    assert os.sched_getscheduler(process.pid) == os.SCHED_OTHER


@pytest.mark.parametrize("given", ["100", "-1", "high"])
def test_a_priority_that_does_not_exist_is_refused(toy, given):
    process = toy(SPIKE_CTRL_PRIORITY=given)
    _, error = process.communicate(timeout=120)
    assert (process.returncode, error) == (2, f"error: SPIKE_CTRL_PRIORITY: found '{given}', wanted 0 to 99\n")


HELD = """
import sys, time
from spike_ctrl_ros import spin
from spike_ctrl_ros.node import ProcessNode

class Held(ProcessNode):
    def __init__(self):
        super().__init__("held")
        self.finished = True

    def destroy_node(self):
        print("held", flush=True)
        time.sleep(60)

spin.ENDING = 0.5
sys.exit(spin.run(Held))
"""


def test_a_node_that_the_middleware_does_not_let_go_ends_and_tells_where_it_hung(ros_domain_id):
    ended = subprocess.run([sys.executable, "-c", HELD], env=os.environ, capture_output=True, text=True, timeout=40)
    assert (ended.returncode, ended.stdout) == (1, "held\n")
    assert "Timeout" in ended.stderr and "in destroy_node" in ended.stderr


LEAVING = """
import os, sys, time
from spike_ctrl_ros import spin
from spike_ctrl_ros.node import ProcessNode

def middleware():
    names = {thread: open(f"/proc/self/task/{thread}/comm").read().strip() for thread in os.listdir("/proc/self/task")}
    # One watches shared memory for the whole process.
    return [thread for thread, name in names.items() if name.startswith("dds.") and name != "dds.shm.wdog"]

class Leaving(ProcessNode):
    def __init__(self):
        super().__init__("leaving")
        self.create_timer(0.1, self.on_time)

    def on_time(self):
        self.finished = True

    def destroy_node(self):
        there = middleware()
        print(len(there) > 0, {os.sched_getscheduler(int(thread)) for thread in there})
        print(len(set.union(*(os.sched_getaffinity(int(thread)) for thread in there))))
        super().destroy_node()
        # A joined thread leaves /proc only when its processor runs it once more, and this one may be ahead of it.
        until = time.monotonic() + 2
        while middleware() and time.monotonic() < until:
            time.sleep(0.001)
        print(middleware())

spin.QUIET = 0
sys.exit(spin.run(Leaving))
"""


@pytest.mark.parametrize("priority", ["0", pytest.param("50", marks=needs_real_time)])
def test_the_middleware_ends_under_the_watch_on_one_processor_of_the_ordinary_scheduler(ros_domain_id, priority):
    environment = os.environ | {"SPIKE_CTRL_PRIORITY": priority}
    ended = subprocess.run([sys.executable, "-c", LEAVING], env=environment, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, f"True {{{os.SCHED_OTHER}}}\n1\n[]\n"), ended.stderr


def test_a_node_whose_constructor_raises_ends_under_the_watch_too(ros_domain_id):
    code = HELD.replace("def destroy_node", "def __del__")
    code = code.replace("self.finished = True", "raise spin.NodeError('no such device')")
    ended = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, timeout=40)
    assert (ended.returncode, ended.stdout) == (1, "held\n")
    assert ended.stderr.startswith("error: no such device\nTimeout")


@needs_real_time  # it takes the right to leave SCHED_IDLE away
def test_a_node_that_may_not_leave_its_scheduler_ends_as_any_other(ros_domain_id):
    command = ["chrt", "-i", "0", "setpriv", "--bounding-set=-sys_nice", sys.executable, "-c", LEAVING]
    ended = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, f"True {{{os.SCHED_IDLE}}}\n1\n[]\n"), ended.stderr


LOGS = """
import os, sys
from spike_ctrl_ros.node import ProcessNode
from spike_ctrl_ros.spin import run

class Toy(ProcessNode):
    def __init__(self):
        super().__init__("toy")
        self.create_timer(0.01, self.tick)

    def tick(self):
        looked_up, real = [], os.path.realpath
        os.path.realpath = lambda path, **about: looked_up.append(path) or real(path, **about)
        self.get_logger().info("the first message")
        os.path.realpath = real
        print(len(looked_up), len([m for m in sys.modules.values() if getattr(m, "__file__", None)]), flush=True)
        self.finished = True

sys.exit(run(Toy))
"""


def test_a_first_message_in_the_air_looks_up_the_files_of_no_module_but_its_own(ros_domain_id):
    """With those of all modules it kept the policy's node from three ticks."""
    told = subprocess.run([sys.executable, "-c", LOGS], capture_output=True, text=True, timeout=120)
    looked_up, modules = map(int, told.stdout.split())
    assert looked_up < 10 < 300 < modules
