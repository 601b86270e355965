"""Ground truth and reset of a running Gazebo, against a stand-in for its Python bindings: there is no Gazebo here."""

import os
import signal
import sys
import threading
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from spike_ctrl.cli.main import main
from spike_ctrl_sitl import true_states
from spike_ctrl_sitl.gazebo.running_world import Pose, motion

STEP = 0.01


def pose(time, position=(0, 0, 0), rotation=None):
    return Pose(time, np.array(position, float), (rotation or Rotation.identity()).as_quat())


def message(time, **models):
    """A Pose_V as Gazebo sends it."""
    poses = [
        SimpleNamespace(
            name=name,
            position=SimpleNamespace(**dict(zip("xyz", p, strict=True))),
            orientation=SimpleNamespace(x=0.0, y=0.0, z=0.0, w=1.0),
        )
        for name, p in models.items()
    ]
    stamp = SimpleNamespace(sec=int(time), nsec=round(1e9 * (time % 1)))
    return SimpleNamespace(header=SimpleNamespace(stamp=stamp), pose=poses)


class Node:
    """A world named lab in which x500_0 climbs at 1 m/s; models can be put somewhere else."""

    asked = []

    def subscribe(self, kind, topic, heard):
        if topic == "/world/lab/dynamic_pose/info":
            for k in range(11):
                heard(message(2.0 + STEP * k, ground_plane=(9, 9, 9), x500_0=(1, 2, STEP * k)))
        return True

    def request(self, service, request, request_type, response_type, timeout):
        self.asked.append((service, request.name, request.orientation.w, timeout))
        return service == "/world/lab/set_pose", SimpleNamespace(data=request.name == "x500_0")


@pytest.fixture
def bindings(monkeypatch):
    def module(name, **content):
        made = ModuleType(name)
        vars(made).update(content)
        monkeypatch.setitem(sys.modules, name, made)

    for name in ("gz", "gz.msgs10"):
        module(name)
    module("gz.transport13", Node=Node)
    module("gz.msgs10.pose_v_pb2", Pose_V=object)
    module("gz.msgs10.pose_pb2", Pose=lambda: SimpleNamespace(name="", orientation=SimpleNamespace(w=0.0)))
    module("gz.msgs10.boolean_pb2", Boolean=object)
    monkeypatch.setattr(Node, "asked", [])


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("tilt", [0.0, 0.5, 3.0])
def test_rates_are_those_of_the_body_however_it_lies(axis, tilt):
    """Turning at 0.7 rad/s about a body axis from any attitude: scipy turns it."""
    before = Rotation.from_rotvec([tilt, -tilt, 0.3])
    wanted = 0.7 * np.eye(3)[axis]
    now = before * Rotation.from_rotvec(STEP * wanted)
    for sign in (1, -1):  # both quaternions of an attitude
        found = motion(pose(1.0, rotation=before), Pose(1.0 + STEP, np.zeros(3), sign * now.as_quat()))
        assert found.rates == pytest.approx(wanted, abs=1e-9)


def test_velocity_is_that_of_the_world():
    found = motion(pose(1.0), pose(1.5, (1.0, -2.0, 0.5)))
    assert found.velocity == pytest.approx([2.0, -4.0, 1.0]) and found.rates == pytest.approx([0, 0, 0])


def test_the_truth_of_the_model_is_written_as_the_vehicle_writes_it(bindings, tmp_path, capsys):
    file = tmp_path / "truth.csv"
    assert main(["truth", str(file), "--world", "lab", "--seconds", "0"]) == 0
    found = true_states.read(file)
    assert found.time == pytest.approx(2.0 + STEP * np.arange(1, 11))
    assert found.position[-1] == pytest.approx([1, 2, 0.1]) and found.velocity[:, 2] == pytest.approx(1.0)
    assert "10 rows" in capsys.readouterr().out


def test_a_reset_puts_the_vehicle_back_and_takes_nothing_away_or_names_what_did_not_answer(bindings, capsys):
    assert main(["truth", "--reset", "--world", "lab"]) == 0
    assert Node.asked == [("/world/lab/set_pose", "x500_0", 1.0, 5000)]
    assert main(["truth", "--reset", "--world", "moon"]) == 2
    assert "/world/moon/set_pose: no answer within 5 s" in capsys.readouterr().err
    assert main(["truth", "--reset", "--world", "lab", "--model", "y"]) == 2
    assert "/world/lab/set_pose: refused for model y" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["--world", "moon"], "no pose came in the world moon"), (["--model", "y", "--world", "lab"], "model y: no pose came")],
)
def test_a_missing_model_is_named(bindings, tmp_path, capsys, arguments, complaint):
    assert main(["truth", str(tmp_path / "truth.csv"), "--seconds", "0", *arguments]) == 2
    assert complaint in capsys.readouterr().err


@pytest.fixture
def ctrl_c():
    """Ctrl-C raises, as it does for a user; a process that runs tests for another one ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_model_that_is_not_there_is_told_after_ctrl_c_too(bindings, ctrl_c, tmp_path, capsys):
    press = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    press.start()
    assert main(["truth", str(tmp_path / "truth.csv"), "--world", "moon"]) == 2
    press.join()
    assert "no pose came in the world moon" in capsys.readouterr().err


def test_without_the_bindings_one_line_says_what_to_install(tmp_path, capsys):
    assert main(["truth", str(tmp_path / "truth.csv")]) == 2
    assert "install Gazebo Harmonic with python3-gz-transport13" in capsys.readouterr().err


def test_a_command_without_a_task_is_an_error(capsys):
    assert main(["truth"]) == 2
    assert "truth: found neither FILE nor --reset, wanted one of them" in capsys.readouterr().err
