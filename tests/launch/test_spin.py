"""The life of a node process.

- SIGINT and SIGTERM: `close` runs while messages can still go out, exit code 0
- a failure that the node names: one line, exit code 1
- parameters or ROS arguments that do not fit: one line, exit code 2
"""

import signal
import subprocess
import sys

import pytest

NODE = """
import sys
from dataclasses import dataclass
import rclpy
from spike_ctrl_ros.parameters import declare, parameter
from spike_ctrl_ros.spin import run

@dataclass(frozen=True)
class Parameters:
    end: str = parameter("never", "How it ends.", choices=("never", "finished", "failure"))

class Toy(rclpy.node.Node):
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

    def start(*arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-c", NODE, "--ros-args", *arguments]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
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
    out, error = process.communicate(timeout=20)
    assert (process.returncode, out.splitlines()[-1], error) == (0, "closed True", "")


@pytest.mark.parametrize(
    ("arguments", "code", "wanted"),
    [
        (["-p", "end:=finished"], 0, None),
        (["-p", "end:=failure"], 1, "error: tick 7: no answer from guide_policy for 5 s"),
        (["-p", "ent:=never"], 2, "error: unknown parameter 'ent'; did you mean 'end'? valid: end"),
        (["-p", "end:=maybe"], 2, "error: parameter 'end': found 'maybe', wanted one of: never, finished, failure"),
        (["--params-file", "ghost.yaml"], 2, "error: failed to initialize rcl: Couldn't parse params file"),
    ],
)
def test_its_end_has_an_exit_code_and_one_line_that_says_why(toy, arguments, code, wanted):
    process = toy(*arguments)
    _, error = process.communicate(timeout=20)
    assert process.returncode == code
    lines = [line for line in error.splitlines() if line.startswith("error: ")]
    assert len(lines) == (wanted is not None)
    assert wanted is None or lines[0].startswith(wanted)
