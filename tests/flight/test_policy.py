"""Faults of policy and guide in the air. Each test begins with the policy flying.

- the policy becomes unstable in six ways: the guide takes over before the vehicle has gone far
- the policy dies, hangs, raises: the guide commands within three control periods; the policy waits for the operator
- the guide dies: the autopilot holds
- a new checkpoint takes over between two ticks if it agrees with the guide, and not otherwise
"""

import hashlib
import os
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from reactions import GAP, hand_over_gap, hangs_and_is_refused, on_guide_for_good, turns
from rehearsal import GUIDE, LOITER_MODE, SNN
from spike_ctrl_msgs.msg import AutopilotStatus, Checkpoint, FlightCommand, PolicyStatus, VehicleAction

from spike_ctrl.policy import checkpoint
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill


@pytest.mark.proves("7L")
def test_an_action_that_is_not_finite_never_leaves(unruly_flight, hangar, reaction):
    since = time.time()
    turns(unruly_flight, hangar, "nan", "ACTION_NOT_FINITE", reaction, 0.1)
    assert hand_over_gap(unruly_flight, since) < GAP
    unruly_flight.stays(GUIDE, 1.5)  # latched, though it answers well again


@pytest.mark.proves("11S")
def test_a_policy_that_shakes_is_replaced(unruly_flight, hangar, reaction):
    turns(unruly_flight, hangar, "shaking", "OSCILLATION", reaction, 2.0)


@pytest.mark.proves("12S")
@pytest.mark.parametrize("manner", ["flipped", "constant", "random", "weights"])
def test_an_unstable_policy_is_caught_in_the_air(unruly_flight, hangar, reaction, manner):
    since = len(unruly_flight.status)
    turns(unruly_flight, hangar, manner, "", reaction, 1.5)
    if unruly_flight.told("GUIDE recovers from", since):
        unruly_flight.until(lambda: unruly_flight.told("GUIDE -> HOLD: the guide recovered from", since), 6)
        unruly_flight.until(lambda: unruly_flight.station.mode == LOITER_MODE, 3, "the autopilot does not hold")
    elif unruly_flight.told("SNN -> HOLD: DISAGREEMENT", since):
        unruly_flight.until(lambda: unruly_flight.station.mode == LOITER_MODE, 3, "the autopilot does not hold")
    else:  # caught by its answers before it had left the envelope; at random, some one in eight by their shaking
        reasons = ("OSCILLATION", "ACTION_SATURATED", "ACTION_STUCK")
        assert any(unruly_flight.told(f"SNN -> GUIDE: {reason}", since) for reason in reasons), unruly_flight.story()
        unruly_flight.stays(GUIDE, 2.0)


@pytest.mark.proves("12S")
def test_a_policy_that_sinks_on_its_way_to_a_new_set_point_is_caught_above_the_ground(unruly_flight, hangar, reaction):
    """On its way to a new set-point it may differ more from the guide."""
    flight, begin = unruly_flight, time.monotonic()
    x, y, _ = flight.station.truth[-1].position
    flight.target(1.0 if x < 0 else -1.0, y, 1.0)
    flight.until(lambda: time.monotonic() - begin > 0.3, 1)
    turns(flight, hangar, "sinking", "", reaction, 1.5)
    assert min(truth.position[2] for truth in flight.station.truth if truth.time > begin) > 0.1


@pytest.mark.proves("14L")
def test_an_exception_in_the_policy_hands_over_to_the_guide(hangar, reaction, tmp_path):
    path = os.pathsep.join([str(Path(__file__).parent / "out_of_order"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {"PYTHONPATH": path, "OUT_OF_ORDER": str(tmp_path / "now")}
    flight = hangar.fly(("out of order", ("record:=false",), {"environment": environment}))
    since, clock, begin = len(flight.status), time.monotonic(), time.time()
    (tmp_path / "now").touch()
    flight.killed.add("snn_policy")
    flight.until(lambda: flight.told("SNN -> GUIDE: POLICY_SILENT", since), 5)
    reaction(hand_over_gap(flight, begin), GAP, "from the policy's last command to the guide's first")
    flight.until(lambda: "snn_policy failed with exit code 1" in flight.graph.output, 10)
    assert "RuntimeError: out of order" in flight.graph.output
    on_guide_for_good(flight, since, "SNN -> GUIDE: POLICY_SILENT")
    assert flight.graph.process.poll() is None and "snn_policy" not in flight.nodes()
    flight.must_be_well(clock)
    hangar.kind = None


@pytest.mark.proves("15L")
def test_a_policy_that_hangs_and_wakes_up_is_refused_and_stays_in_shadow(flight, reaction):
    hangs_and_is_refused(flight, reaction, "")


@pytest.mark.proves("16L")
def test_a_killed_policy_hands_over_to_the_guide(flight, reaction):
    since, begin = len(flight.status), flight.kill("snn_policy")
    flight.until(lambda: flight.told("SNN -> GUIDE: POLICY_SILENT", since), 5)
    reaction(hand_over_gap(flight, begin), GAP, "from the policy's last command to the guide's first")
    refused = flight.ask("engage")
    assert not refused.success and "POLICY_SILENT" in refused.message
    assert flight.graph.process.poll() is None


@pytest.mark.proves("17L")
def test_without_the_guide_the_autopilot_holds(flight, reaction):
    since, begin = len(flight.status), flight.kill("guide_policy")
    flight.until(lambda: flight.told("SNN -> HOLD: GUIDE_SILENT", since), 5)
    flight.until(lambda: flight.autopilot.mode == AutopilotStatus.HOLD, 3)
    flight.until(lambda: any(moment > flight.signalled for moment, _ in flight.station.modes), 3)
    told = next(moment for moment, mode in flight.station.modes if moment > flight.signalled)
    reaction(told - flight.signalled, 0.3, "from the kill to the autopilot's mode HOLD")
    assert "GUIDE_SILENT" in flight.ask("engage").message
    assert flight.stamps()[-1] - begin < 0.3 and not flight.failsafes(flight.signalled)


def send_checkpoint(flight, publisher, path, name, epoch):
    data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    flight.until(publisher.get_subscription_count, 10)
    publisher.publish(fill(Checkpoint(), epoch=epoch, name=name, sha256=digest, data=data))


@pytest.mark.proves("27L", "27S")
def test_a_new_checkpoint_takes_over_in_flight_only_when_it_agrees_and_is_accepted(flight, tmp_path, reaction):
    since, old = len(flight.status), flight.commands[-1].checkpoint_id
    checkpoints = flight.node.create_publisher(Checkpoint, "policy/checkpoint", qos.CHECKPOINTS)
    answers = flight.listen(VehicleAction, "candidate/action")
    said = flight.listen(PolicyStatus, "policy/status")
    found, random = checkpoint.load(flight.model), np.random.default_rng(1)
    contract, begin = found.manifest.contract, time.time()
    # One that answers at random falls in simulation, and is not even tried.
    wild = {name: random.permutation(weight.ravel()).reshape(weight.shape) for name, weight in found.weights.items()}
    (tmp_path / "wild.safetensors").write_bytes(checkpoint.dumps(wild, contract))
    send_checkpoint(flight, checkpoints, tmp_path / "wild.safetensors", "wild", 1)
    flight.until(lambda: any("refused: wild: in simulation 16 of 16" in status.detail for status in said), 15)
    # One that hovers there with a throttle of its own flies in shadow and is not taken.
    strayed = found.weights | {"output.bias": found.weights["output.bias"] + np.float32([0.6, 0, 0, 0])}
    (tmp_path / "strayed.safetensors").write_bytes(checkpoint.dumps(strayed, contract))
    send_checkpoint(flight, checkpoints, tmp_path / "strayed.safetensors", "strayed", 1)
    flight.until(lambda: len([a for a in answers if a.checkpoint_id == "strayed"]) > 150, 15)
    policy = [c for c in flight.commands if c.commander == FlightCommand.POLICY]
    assert {c.checkpoint_id for c in policy[-100:]} == {old} and "wild" not in {a.checkpoint_id for a in answers}
    # One that agrees with the guide takes over between two ticks: the policy never leaves the command.
    send_checkpoint(flight, checkpoints, flight.model, "new", 2)
    flight.until(lambda: flight.commands[-1].checkpoint_id == "new", 15)
    first = len(flight.commands)
    flight.stays(SNN, 1.0)
    assert {(c.checkpoint_id, c.epoch) for c in flight.commands[first:]} == {("new", 2)}
    assert not [status for status in flight.status[since:] if status.rung != SNN]
    worst = max(b - a for a, b in pairwise(flight.stamps(FlightCommand.POLICY, since=begin)))
    reaction(worst, GAP, "largest gap between two commands over both loads and the take-over")
    # While the guide flies, none is taken.
    flight.ask("guide")
    since = len(flight.status)
    send_checkpoint(flight, checkpoints, flight.model, "late", 3)
    flight.until(lambda: flight.told("SWAP_REFUSED", since), 10)
    flight.node.destroy_publisher(checkpoints)
