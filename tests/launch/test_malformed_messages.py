"""Messages that do not fit what they say: whoever gets one names who sent it, what was found and what is wanted.

- in lockstep an answer or a transition that does not fit ends the training in one line, as one that is lost does
- in real time, and with a vehicle in the air, it is dropped, counted and told; what is missing then is dealt with as ever
"""

import array

import numpy as np
import pytest
import rclpy
from spike_ctrl_msgs.msg import Transition, VehicleAction

from spike_ctrl_ros.convert import MessageError, answered, fill


def malformed(tick, vehicles=1, numbers=3):
    """Says that it speaks of some vehicles, and holds another number of numbers."""
    return VehicleAction(tick=tick, vehicles=vehicles, action=array.array("f", [0.0] * numbers))


@pytest.fixture
def start(ros_domain_id, tmp_path, monkeypatch):
    """start(Node, name=value, ...) makes a node with these parameters, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    nodes = []

    def make(kind, **parameters):
        words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
        rclpy.init(args=["--ros-args", *words])
        nodes.append(kind())
        return nodes[-1]

    yield make
    for node in nodes:
        if hasattr(node, "close"):
            node.close()
        node.destroy_node()
    rclpy.try_shutdown()


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (malformed(7), r"VehicleAction\.action: found 3 numbers, wanted \[1, 4\]"),
        (malformed(7, 2, 8), "VehicleAction.vehicles: found 2, wanted 1"),
        (malformed(7, 0, 0), "VehicleAction.vehicles: found 0, wanted at least 1"),
        (
            fill(VehicleAction(), action=[[0, np.nan, 0, 0]]),
            r"found \[0\.0, nan, 0\.0, 0\.0\] of vehicle 0, wanted finite numbers",
        ),
    ],
)
def test_actions_that_do_not_fit_are_refused_by_what_was_found_and_wanted(message, complaint):
    with pytest.raises(MessageError, match=complaint):
        answered(message, 1)


def test_actions_that_fit_come_as_they_are():
    assert np.array_equal(answered(fill(VehicleAction(), action=[[0, 1, -1, 0.5]]), 1), np.float32([[0, 1, -1, 0.5]]))


def shown(simulator):
    """The simulator waits for the answers to a state."""
    simulator.seen, simulator.message = simulator.rollout.see(), None
    return simulator.tick


def test_in_lockstep_an_answer_that_does_not_fit_ends_the_simulator_by_name(start):
    from spike_ctrl_sim.simulator_node import Simulator

    simulator = start(Simulator, vehicles=2)
    tick = shown(simulator)
    simulator.on_answer("policy/action", malformed(tick + 1, 2))  # to another state: nobody waits for it
    assert not getattr(simulator, "failure", None)
    simulator.on_answer("policy/action", malformed(tick, 2, 7))
    assert simulator.failure == "tick 0: policy/action from snn_policy: VehicleAction.action: found 7 numbers, wanted [2, 4]"


def test_in_real_time_it_is_dropped_counted_and_told_and_the_right_answer_still_counts(start, capfd):
    from spike_ctrl_sim.simulator_node import Simulator

    simulator = start(Simulator, vehicles=1, realtime="true", free_run="true")
    tick = shown(simulator)
    simulator.on_answer("policy/action", malformed(tick))
    assert not getattr(simulator, "failure", None) and not simulator.answers and simulator.counts.malformed == 1
    told = "answer dropped: tick 0: policy/action from snn_policy: VehicleAction.action: found 3 numbers, wanted [1, 4]"
    assert told in capfd.readouterr().err
    simulator.on_answer("policy/action", fill(VehicleAction(), tick=tick, action=[[0, 0, 0, 0]]))
    assert list(simulator.answers) == ["policy/action"]


def test_the_backend_of_a_real_vehicle_drops_counts_and_tells_it_and_goes_on(start, capfd):
    Px4Backend = pytest.importorskip("spike_ctrl_sitl.px4_backend_node").Px4Backend

    backend = start(Px4Backend, connection="udpin:127.0.0.1:0")
    backend.on_answer("guide/action", malformed(0))
    assert not getattr(backend, "failure", None) and backend.flight.counts["malformed_answers"] == 1
    told = "answer dropped: tick 0: guide/action from guide_policy: VehicleAction.action: found 3 numbers, wanted [1, 4]"
    assert told in capfd.readouterr().err


def test_a_transition_that_does_not_fit_ends_the_learner_by_name(start):
    from spike_ctrl_learner.learner_node import LearnerNode

    learner = start(LearnerNode, vehicles=2, recipe="debug", run="run")
    learner.on_transition(Transition(tick=0, vehicles=2, flags=array.array("B", [0, 0, 0])))
    assert learner.failure.startswith("transition of tick 0 from simulator: Transition.flags: found 3 numbers, wanted [2]")
