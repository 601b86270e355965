"""A policy in shadow that learns its plant is told what others command: its state, its gate, its replay."""

import dataclasses
import math

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.certification import monte_carlo
from spike_ctrl.certification.flight_bag import FlightBag
from spike_ctrl.certification.flight_core import FlightCore
from spike_ctrl.certification.moving_scenario import Scenario
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.rehearsal import rehearse
from spike_ctrl.flight.request import Request
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import CheckpointError
from spike_ctrl.policy.command_telling import Commanded
from spike_ctrl.policy.pilot import Flown, Pilot
from spike_ctrl.recordings import replay
from spike_ctrl.recordings.reader import read

MODELS = resources.folder("models")
CRAZYFLIE = airframe.load("crazyflie")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "mine.safetensors"
    pytest.importorskip("spike_ctrl_export.for_airframe").write(
        path, checkpoint.load(MODELS / "any_quad.safetensors"), CRAZYFLIE, {}
    )
    return path


@pytest.fixture(scope="module")
def policy(exported):
    return checkpoint.load(exported).policy


def seen(vehicles=1):
    return np.random.default_rng(3).normal(0, 0.1, (vehicles, 18)).astype(np.float32)


def test_the_layer_hears_the_smallest_change_of_its_spikes_that_gives_what_was_commanded(policy):
    """The current of the next step, by the network's own equations, with spikes that are no longer 0 or 1."""
    weights = checkpoint.load(MODELS / "any_quad.safetensors").weights
    output, recurrent, beta = (weights[n] for n in ("output.weight", "layer1.weight", "layer1.beta"))
    own, commanded = np.array([0.1, -0.2, 0.3, 0.0], np.float32), np.array([0.5, 0.2, -0.1, 0.6], np.float32)
    state = policy.initial_state()
    told = policy.told(state, own, commanded)
    change = np.linalg.lstsq(output.astype(float), np.arctanh(commanded) - np.arctanh(own), rcond=None)[0]
    current = recurrent[:, -128:].astype(float) @ change
    first = policy.sizes[1]
    heard = beta * (told.membrane - state.membrane)[first:]
    keeps = beta > 1e-3
    assert keeps.sum() > 100 and heard[keeps] == pytest.approx(current[keeps], abs=1e-5)
    assert not heard[~keeps].any() and not told.membrane[:first].any() and np.array_equal(told.spike, state.spike)


def test_what_it_commanded_itself_is_no_news_and_one_vehicle_is_told_as_a_batch_is(policy):
    actions = np.random.default_rng(0).uniform(-1, 1, (2, 5, 4)).astype(np.float32)
    state = policy.initial_state(5)
    assert np.array_equal(policy.told(state, actions[0], actions[0]).membrane, state.membrane)
    many = policy.told(state, *actions).membrane
    for n in range(5):
        assert np.array_equal(policy.told(policy.initial_state(), *actions[:, n]).membrane, many[:, n])
    assert np.isfinite(policy.told(state, np.ones((5, 4), np.float32), -np.ones((5, 4), np.float32)).membrane).all()


@pytest.mark.parametrize("told", [True, False])
def test_only_a_command_of_another_in_answer_to_the_last_state_is_told(policy, told):
    action, other = np.zeros((1, 4), np.float32), np.full((1, 4), 0.4, np.float32)
    news = {
        "another's": Commanded(1, other, ("guide", 0)), "nobody's": Commanded(1, other),
        "its own": Commanded(1, other, ("it", 7)), "old": Commanded(0, other), "none": None,
    }  # fmt: skip
    actions = {}
    for name, commanded in news.items():
        pilot = Pilot(warm_up=0)
        pilot.take(Flown("it", policy if told else checkpoint.load(MODELS / "any_quad.safetensors").policy, 7))
        for tick in (1, 2):
            given = commanded if tick == 2 else None
            found = pilot.step(tick, np.array([tick == 1]), seen(), lockstep=True, commanded=given)
        actions[name] = pilot.state.membrane.copy()
        assert found.action.shape == action.shape
    differ = {name for name, membrane in actions.items() if not np.array_equal(membrane, actions["none"])}
    assert differ == ({"another's", "nobody's"} if told else set())


def test_a_candidate_in_shadow_is_told_what_the_policy_in_command_commands(policy):
    membranes = []
    for commanded in (None, Commanded(2, np.full((1, 4), 0.4, np.float32), ("first", 0))):
        pilot = Pilot(warm_up=5, judged=True)
        pilot.take(Flown("first", policy, 0))
        pilot.step(1, np.array([True]), seen(), lockstep=True)
        pilot.warm(Flown("second", policy, 1))
        pilot.step(2, np.array([False]), seen(), lockstep=True)
        pilot.step(3, np.array([False]), seen(), lockstep=True, commanded=commanded)
        membranes.append((pilot.state.membrane, pilot._candidate_state.membrane))
    assert np.array_equal(membranes[0][0], membranes[1][0]) and not np.array_equal(membranes[0][1], membranes[1][1])


class Asked(FlightCore):
    """The operator asks to engage, and the supervisor decides."""

    def _engage(self):
        self.requests.append(Request.ENGAGE)


def flight(exported, told, seed=2, record=None, seconds=4.0):
    who, settings = monte_carlo.competitors(exported)
    assert who.told
    calm = Scenario(seed, "none", (1.0, 1.0, 1.0), 0.0, 0.5, (0.0,) * 3, (0.0, 0.0, 1.5), "hover", (), (), seconds)
    core = Asked(calm, who._replace(told=told), settings, record)
    core.fly()
    return core


def test_a_policy_that_is_told_passes_the_gate_which_it_does_not_pass_untold(exported):
    told, untold = (flight(exported, told) for told in (True, False))
    assert [rung for _, rung, _ in told.moves] == [Rung.GUIDE, Rung.SNN]
    assert told.moves[1][0] < 2.0 and "differs from the guide by 0." in told.moves[1][2]
    assert max(math.dist(step.position, step.wanted) for step in told.steps) < 0.2
    assert [rung for _, rung, _ in untold.moves] == [Rung.GUIDE]
    assert max(untold.state.monitor.difference) > untold.settings.answers.disagreement


@pytest.mark.parametrize("told", [True, False])
def test_a_flight_with_and_without_telling_is_replayed_bit_by_bit(exported, told, tmp_path):
    record = FlightBag(tmp_path / "bag", "mine", exported.read_bytes())
    core = flight(exported, told, record=record, seconds=3.0)
    record.close()
    assert (Rung.SNN in [rung for _, rung, _ in core.moves]) == told
    recording = read(tmp_path / "bag", replay.TOPICS)
    choice, found, _ = replay.judged(recording)
    assert choice.same and found.equal == found.compared > 200
    deaf, wrong, _ = replay.judged(dataclasses.replace(recording, commands=None))
    assert deaf.same and (wrong.equal == wrong.compared) != told


def test_a_policy_that_sees_nothing_and_only_repeats_what_it_hears_is_refused_by_the_rehearsal(exported):
    found = checkpoint.load(exported)
    blind = found.weights | {"layer0.weight": np.zeros_like(found.weights["layer0.weight"])}
    parrot = checkpoint.loads(checkpoint.dumps(blind, found.manifest.contract, learns_plant=True)).compiled()
    assert "of 16 vehicles are more than" in str(rehearse(parrot, CRAZYFLIE, 100.0))
    assert rehearse(found.compiled(), CRAZYFLIE, 100.0) is None


def test_a_checkpoint_says_so_in_its_manifest_and_every_step_of_it_knows(exported):
    found = checkpoint.load(exported)
    assert found.manifest.learns_plant and found.policy.learns_plant
    assert found.compiled().telling is not None and found.ordered().telling is not None
    assert not checkpoint.load(MODELS / "any_quad.safetensors").manifest.learns_plant
    plain = checkpoint.load(MODELS / "crazyflie.safetensors")
    with pytest.raises(CheckpointError, match="learns_plant: found true, wanted it with a recurrent spiking network alone"):
        checkpoint.dumps(plain.weights, plain.manifest.contract, learns_plant=True)
    told, untold = (checkpoint.dumps(found.weights, found.manifest.contract, learns_plant=told) for told in (True, False))
    assert checkpoint.loads(told).manifest.learns_plant and not checkpoint.loads(untold).manifest.learns_plant
    assert b"learns_plant" not in untold  # a file of a policy that does not is as before


def test_a_child_that_is_tuned_in_flight_learns_its_plant_as_its_parent_does(exported):
    parent, data = checkpoint.load(exported), checkpoint.read(exported)
    fine_tuning = pytest.importorskip("spike_ctrl_adaptation.fine_tuning")
    known = pytest.importorskip("spike_ctrl_adaptation.plant_estimate").unchanged(CRAZYFLIE)
    known = known._replace(covariance=0.01 * known.covariance)
    child = fine_tuning.child_of(parent, data, CRAZYFLIE, known, 0.0, 1, "child", dict(parent.weights))
    assert checkpoint.loads(child.data).manifest.learns_plant
