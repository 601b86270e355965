"""ROS 2's own launch runs the launch files, where it can be imported: from an installed ROS 2, or sources on PYTHONPATH.

- `ros2 launch spike_ctrl FILE --show-args` finds each file by the package's name and names its arguments
- Ctrl-C while a graph trains ends all nodes with exit code 0 and without an exception of the launch
- a replay ends by itself; `spike-ctrl launch` gives the code of the node that found a difference
- a whole flight under launch_testing
"""

import importlib.util
import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from output import Output
from programs import free_port, may_be_real_time
from recorded import fly

from spike_ctrl._files import resources

HERE = Path(__file__).parent
NEEDED = ("launch", "launch_ros", "launch_testing", "ros2cli", "ros2launch", "composition_interfaces")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"ROS 2's own launch is not installed here: no {', '.join(MISSING)}")
ROS2 = (sys.executable, "-c", "import sys; from ros2cli.cli import main; sys.exit(main())")
MODEL = resources.folder("models") / "crazyflie.safetensors"
ARGUMENTS = json.loads((HERE.parent / "compatibility" / "launch_arguments.json").read_text())


@pytest.fixture
def start(ros_domain_id, tmp_path):
    """start(*command) gives the Output of a program that is killed after the test."""
    prefixes = filter(None, [os.environ.get("AMENT_PREFIX_PATH"), sys.prefix])
    more = {"AMENT_PREFIX_PATH": os.pathsep.join(prefixes), "PYTHONUNBUFFERED": "1", "ROS_LOG_DIR": str(tmp_path / "log")}
    running = []

    def make(*command) -> Output:
        running.append(Output(list(map(str, command)), cwd=tmp_path, env=os.environ | more))
        return running[-1]

    yield make
    for program in running:
        if program.process.poll() is None:
            program.process.send_signal(signal.SIGINT)
            program.process.wait(60)


def ended(program: Output, seconds: float) -> int:
    code = program.process.wait(seconds)
    program._reader.join(5)
    assert "Caught exception" not in program.output and "Traceback" not in program.output, program.output
    return code


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_a_launch_file_is_found_by_the_name_of_the_package_and_shows_its_arguments(start, name):
    shown = start(*ROS2, "launch", "spike_ctrl", f"{name}.launch.py", "--show-args")
    assert ended(shown, 60) == 0, shown.output
    assert set(ARGUMENTS[name]) <= set(re.findall(r"^    '(\w+)':", shown.output, re.M)), shown.output


def test_ctrl_c_ends_a_training_with_code_0_and_without_an_exception(start, tmp_path):
    training = start(*ROS2, "launch", "spike_ctrl", "sim_train.launch.py", "recipe:=debug", "vehicles:=8", "run:=run")
    deadline = time.monotonic() + 90
    while not (tmp_path / "run" / "metrics.jsonl").is_file():
        assert time.monotonic() < deadline and training.process.poll() is None, training.output
        time.sleep(0.05)
    training.process.send_signal(signal.SIGINT)
    assert ended(training, 60) == 0, training.output
    for node in ("learner", "snn_policy", "guide_policy", "simulator"):
        assert re.search(rf"{node}-\d\]: process has finished cleanly", training.output), training.output


@pytest.mark.parametrize("changed", [False, True])
def test_a_replay_ends_by_itself_and_a_difference_gives_its_exit_code(start, tmp_path, changed):
    def alter(tick, action):
        action[0, 1] = np.nextafter(action[0, 1], np.float32(2)) if changed and tick == 57 else action[0, 1]
        return action

    fly(tmp_path / "bag", MODEL, alter=alter)
    given = ("bag:=bag", "rate:=0")
    replay = start(*ROS2, "launch", "spike_ctrl", "replay.launch.py", *given)
    assert ended(replay, 90) == 0 and f"{599 if changed else 600} of 600 actions" in replay.output, replay.output
    ours = start(sys.executable, "-m", "spike_ctrl.cli.main", "launch", "replay", *given)
    assert ended(ours, 90) == int(changed), ours.output


@pytest.mark.flight
@pytest.mark.alone
def test_launch_testing_flies_a_whole_flight(start):
    given = (f"connection:=udpin:127.0.0.1:{free_port()}", f"realtime:={str(may_be_real_time()).lower()}")
    flown = start(sys.executable, "-m", "launch_testing.launch_test", HERE / "flight_for_launch_testing.py", *given)
    assert ended(flown, 180) == 0, flown.output
    assert "Ran 2 tests" in flown.output or flown.output.count("Ran 1 test") == 2, flown.output
