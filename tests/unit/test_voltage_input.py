"""Policies whose observation ends with the battery's voltage."""

import dataclasses

import numpy as np
import pytest
from example_runs import told_where_to_start
from seeing_voltage import seeing

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.flight.measured_voltage import KEPT, SETTLED, MeasuredVoltages
from spike_ctrl.flight.rehearsal import rehearse
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.bptt import TILE
from spike_ctrl.learn.learner import Learner
from spike_ctrl.policy import checkpoint, voltage_input
from spike_ctrl.policy.checkpoint import CheckpointError
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.policy.pilot import Flown, Pilot, Reason
from spike_ctrl.policy.voltage_input import VoltageInput, complete
from spike_ctrl.recordings import BagError, replay
from spike_ctrl.recordings.recording import Actions, Embedded, Recording, States
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.episode_flags import FIRST
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl.sim.sensor_noise import SensorSettings

pytestmark = pytest.mark.slow

REAL = airframe.load("crazyflie_real")


def learner(**network):
    plan = recipes.from_dict({"name": "seen", "base": "real", "network": {"hidden": [16, 8], "voltage": True} | network})
    return Learner(plan, REAL, vehicles=16, seed=0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A checkpoint of random weights that sees the voltage of crazyflie_real."""
    random, path = learner(), tmp_path_factory.mktemp("voltage") / "policy.safetensors"
    checkpoint.save(path, random.flying_weights(), random.contract())
    return path


def test_the_nominal_voltage_is_seen_as_zero_and_from_full_to_empty_it_falls_by_one():
    seen, battery = voltage_input.of_airframe(REAL), REAL.battery
    assert seen.seen(battery.nominal) == 0
    assert seen.seen(battery.full) - seen.seen(battery.empty) == pytest.approx(1)


def test_a_policy_that_sees_the_voltage_gets_it_behind_the_18_numbers_and_another_gets_them_alone(saved):
    state = np.arange(36, dtype=np.float32).reshape(2, 18)
    found = complete(checkpoint.load(saved).policy, state, [REAL.battery.nominal, REAL.battery.full])
    np.testing.assert_array_equal(found[:, :18], state)
    np.testing.assert_allclose(found[:, 18], [0, voltage_input.of_airframe(REAL).seen(REAL.battery.full)])
    assert complete(checkpoint.load_policy("crazyflie_real"), state, [3.7, 3.7]) is state


@pytest.mark.parametrize("voltage", [None, np.nan, [3.7, np.inf]])
def test_a_voltage_that_is_unknown_is_refused_in_words(saved, voltage):
    with pytest.raises(UsageError, match=r"^voltage: found none, wanted the battery's: the policy's"):
        complete(checkpoint.load(saved).policy, np.zeros((2, 18), np.float32), voltage)


def test_a_checkpoint_says_how_the_voltage_is_seen_and_every_runtime_of_it_knows(saved):
    loaded = checkpoint.load(saved)
    contract = loaded.manifest.contract
    assert (contract.observation, contract.sizes[0]) == ("setpoint_frame_18_voltage", 19)
    assert contract.voltage == loaded.policy.voltage == loaded.compiled().voltage == voltage_input.of_airframe(REAL)


def test_a_contract_that_tells_the_voltage_without_its_layout_is_refused():
    random = learner()
    wrong = dataclasses.replace(random.contract(), observation="setpoint_frame_18")
    with pytest.raises(CheckpointError, match=r"contract.voltage: found .* with observation 'setpoint_frame_18', wanted it"):
        checkpoint.dumps(random.flying_weights(), wrong)
    without = dataclasses.replace(random.contract(), voltage=None)
    with pytest.raises(CheckpointError, match=r"contract.voltage: found None with observation 'setpoint_frame_18_voltage'"):
        checkpoint.dumps(random.flying_weights(), without)


def test_shipped_checkpoints_have_no_voltage():
    contract = checkpoint.load("crazyflie_real").manifest.contract
    assert (contract.observation, contract.voltage) == ("setpoint_frame_18", None)


def test_recipes_that_cannot_see_the_voltage_are_refused_in_words():
    with pytest.raises(UsageError, match=r"network.voltage: found true in a recipe for td3bc, whose observations have 18"):
        recipes.from_dict({"name": "seen", "base": "td3bc", "network": {"voltage": True}})
    plan = recipes.from_dict({"name": "seen", "base": "default", "network": {"voltage": True}})
    with pytest.raises(UsageError, match=r"network.voltage: found true for airframe crazyflie, which has no battery"):
        plan.require_fit(airframe.load("crazyflie"))
    with pytest.raises(UsageError, match=r"network.voltage: found true beside task.airframes"):
        recipes.from_dict({"name": "seen", "base": "any_quad", "network": {"voltage": True}})


def test_a_recipe_is_written_with_the_voltage_only_where_it_is_seen():
    assert "voltage" not in recipes.to_dict(recipes.find("real"))["network"]
    seen = recipes.from_dict({"name": "seen", "base": "real", "network": {"voltage": True}})
    assert recipes.from_dict(recipes.to_dict(seen)) == seen


def test_the_environment_measures_the_voltage_with_the_noise_of_its_sensor():
    noisy = Randomisation(charge_low=0.5, sensors=SensorSettings(voltage=0.02))
    environment = Environment(REAL, 4096, Task(randomisation=noisy))
    environment.reset(seed=1)
    environment.step(np.zeros((4096, 4), np.float32))
    error = environment.voltage - environment.read(dynamics.VOLTAGE)
    assert error.std() == pytest.approx(0.02, rel=0.05) and abs(error.mean()) < 0.002
    exact = Environment(REAL, 16, Task(randomisation=Randomisation(charge_low=0.5)))
    exact.reset(seed=1)
    np.testing.assert_array_equal(exact.voltage, exact.read(dynamics.VOLTAGE))
    plain = Environment(airframe.load("crazyflie"), 1)
    plain.reset(seed=1)
    assert plain.voltage is None


def _of_voltage(gain):
    """A policy whose four actions are tanh(gain z) of the voltage z that it sees: two neurons, one spike for each sign."""
    weights = {
        "layer0.weight": np.zeros((2, 19), np.float32), "layer0.bias": np.zeros(2, np.float32),
        "layer0.beta": np.zeros(2, np.float32), "layer0.theta": np.full(2, 1e-3, np.float32),
        "output.weight": np.zeros((4, 2), np.float32), "output.bias": np.zeros(4, np.float32),
    }  # fmt: skip
    weights["layer0.weight"][:, 18], weights["output.weight"][:] = (1, -1), (gain, -gain)
    return SpikingPolicy(weights, voltage=VoltageInput(3.7, 1.0))


def test_in_an_evaluation_the_policy_sees_the_voltage_of_its_own_vehicle():
    environment = Environment(REAL, 64, Task(randomisation=Randomisation(charge_low=0.1)))
    observation, _ = environment.reset(seed=3)
    flies = PolicyController(_of_voltage(2.0))
    flies.begin(64)
    action = flies.act(observation, environment)
    full = environment.voltage > 3.7
    assert 0 < full.sum() < 64
    np.testing.assert_allclose(action, np.tanh(2.0 * np.where(full, 1, -1))[:, None].repeat(4, 1), rtol=1e-6)
    with pytest.raises(UsageError, match="voltage: found none"):
        flies.act(observation, None)  # in a simulator of others


def test_the_pilot_does_not_step_without_the_voltage_and_says_so():
    pilot = Pilot(warm_up=0)
    pilot.take(Flown("m", _of_voltage(2.0), 0))
    state = {"first": np.ones(1, bool), "observation": np.zeros((1, 18), np.float32), "lockstep": False}
    unseen = pilot.step(1, **state)
    assert (unseen.action, unseen.commands, unseen.reason) == (None, False, Reason.BAD_OBSERVATION)
    assert unseen.detail.startswith("voltage: found none") and pilot.state is None
    seen = pilot.step(2, **state, voltage=4.0)
    np.testing.assert_allclose(seen.action, np.full((1, 4), np.tanh(2.0)), rtol=1e-6)


def test_a_training_moves_the_weights_of_the_voltage():
    small = {"updates": 1, "vehicles": 2 * TILE, "pool": 2 * TILE, "segment": 10}
    plan = {"name": "seen", "base": "real", "network": {"hidden": [16, 8], "voltage": True}, "bptt": small}
    student = Learner(recipes.from_dict(plan), REAL, vehicles=16, seed=0)
    before = student.flying_weights()["layer0.weight"].copy()
    told_where_to_start(student)
    student.iterate()
    assert (student.flying_weights()["layer0.weight"] != before)[:, 18].all()
    assert student.contract().sizes[0] == 19


def test_the_recipe_real_voltage_is_real_but_for_the_voltage():
    seen, blind = (recipes.find(name) for name in ("real_voltage", "real"))
    assert seen.network == dataclasses.replace(blind.network, voltage=True)
    sensors = dataclasses.replace(blind.task.randomisation.sensors, voltage=0.02)
    assert seen.task.randomisation == dataclasses.replace(blind.task.randomisation, sensors=sensors)
    assert (seen.schedule, seen.bptt) == (blind.schedule, blind.bptt)


def test_the_numbers_of_a_flight_count_the_voltage_after_it_has_settled_and_until_it_is_too_old():
    second = 1_000_000_000
    voltages = MeasuredVoltages().heard(10 * second, 4.0).heard(11 * second, 3.9)
    assert voltages.at(10 * second + SETTLED - 1) == (None, 0)
    assert voltages.at(10 * second + SETTLED) == (4.0, SETTLED)
    assert voltages.at(11 * second + SETTLED - 1) == (4.0, second + SETTLED - 1)
    assert voltages.at(11 * second + SETTLED) == (3.9, SETTLED)
    assert voltages.at(11 * second + KEPT) == (3.9, KEPT)
    assert voltages.at(11 * second + KEPT + 1) == (None, 0)
    assert MeasuredVoltages().heard(10 * second, 4.0).heard(5 * second, 3.8).at(6 * second) == (3.8, second)  # another clock


def test_the_rehearsal_shows_the_voltage():
    loaded = checkpoint.loads(seeing())
    assert rehearse(loaded.policy, REAL, 100.0) is None
    assert "vehicles are more than" in rehearse(_of_voltage(2.0), REAL, 100.0)


def test_a_recorded_flight_is_replayed_bit_by_bit_with_the_voltages_that_the_policy_was_told(tmp_path):
    """30 states, 100 Hz, with a voltage that falls each .2 s. Told another voltage, the policy answers otherwise."""
    data = seeing(weight=0.3)
    policy = checkpoint.loads(data).policy
    states, told = some_flight(policy)
    recording = Recording(
        tmp_path, states, Actions(states.tick, states.epoch, states.received, np.full(30, "m", object), told, "motors"),
        checkpoints={0: Embedded("m", "", data)},
    )  # fmt: skip
    _, found, _ = replay.judged(recording)
    assert (found.compared, found.equal) == (30, 30)
    other = dataclasses.replace(recording, states=states._replace(voltage=states.voltage + 0.5))
    _, found, _ = replay.judged(other)
    assert found.equal < 30
    unseen = dataclasses.replace(recording, states=states._replace(voltage=None))
    with pytest.raises(BagError, match="observation: found 'setpoint_frame_18_voltage', wanted 'setpoint_frame_18'"):
        replay.judged(unseen)


def some_flight(policy):
    random, steps = np.random.default_rng(0), 30
    observation = random.normal(0, 0.1, (steps, 1, 18)).astype(np.float32)
    observation[:, :, [3, 7, 11]] += 1
    voltage = np.float32(4.0 - 0.1 * (np.arange(steps) // 20))
    flags, number = np.zeros((steps, 1), np.uint8), np.arange(steps, dtype=np.int64)
    flags[0] = FIRST
    state, actions = policy.initial_state(1), []
    for seen, volts in zip(observation, voltage, strict=True):
        action, state = policy.step(complete(policy, seen, volts), state)
        actions.append(action)
    return States(number, np.zeros_like(number), number, flags, observation, voltage), np.stack(actions)


@pytest.mark.parametrize("data", [seeing(), None], ids=["with the voltage", "without it"])
def test_a_contract_is_what_it_expects_of_itself_and_not_of_the_other_kind(data):
    """A training that starts from a checkpoint expects its own contract of it, field by field."""
    found = checkpoint.load("sih_quadx") if data is None else checkpoint.loads(data)
    contract = found.manifest.contract
    checkpoint.require(contract, vars(contract), "it")
    other = dataclasses.replace(contract, voltage=VoltageInput(3.7, 0.5) if data is None else None)
    with pytest.raises(CheckpointError, match="it: voltage: found "):
        checkpoint.require(contract, vars(other), "it")
