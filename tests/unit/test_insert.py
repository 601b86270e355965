"""Functions of a user's own in the control step: what they see, what they change, and what is refused of them."""

import dataclasses
import math
import re

import numpy as np
import pytest

import spike_ctrl
from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import BatteryModel
from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.evaluation.controllers import GuideController
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.pipeline import CHANGES
from spike_ctrl.sim.randomisation import InitialStates, Randomisation
from spike_ctrl.sim.sensor_noise import SensorSettings
from spike_ctrl.sim.step_view import FIELDS

pytestmark = pytest.mark.slow

CRAZYFLIE, SIH = airframe.load("crazyflie"), airframe.load("sih_quadx")
BATTERY = BatteryModel(full=4.2, empty=3.2, nominal=4.0, sag=0.5, sag_time=0.3, endurance=300.0, exponent=0.9)
EXTENDED = dataclasses.replace(CRAZYFLIE, body_drag=(0.01, 0.01, 0.008), dead_time=0.02, battery=BATTERY)
AT_REST = InitialStates(at_target=1.0, rotors_low=0.5, rotors_high=0.5)
ERRING = Randomisation(mass=0.2, force=0.02, delay=2, noise=1.0, sensors=SensorSettings(position=0.01, delay=0.02))
FREE = Task(box=1e6, episode_steps=10_000, start=AT_REST)
N = 20


def flown(inserts, craft=CRAZYFLIE, task=FREE, steps=50, actions=None, seed=3):
    """The environment after the steps, and observation and reward of each."""
    environment, random, track = Environment(craft, N, task, inserts=inserts), np.random.default_rng(0), []
    observation, _ = environment.reset(seed=seed)
    track.append((observation, np.zeros(N)))
    for step in range(steps):
        action = random.uniform(-1, 1, (N, 4)) if actions is None else actions[step]
        observation, reward, *_ = environment.step(action)
        track.append((observation, reward))
    return environment, [np.stack(each) for each in zip(*track, strict=True)]


def kept(step):
    """What a function may change there, as it is."""
    return {name: getattr(step, name) for name in CHANGES[step.name]}


# --- where nothing changes ---


@pytest.mark.parametrize("randomisation", [Randomisation(), ERRING], ids=["exact", "erring"])
@pytest.mark.parametrize("craft", [CRAZYFLIE, SIH, EXTENDED], ids=["motors", "rates", "extended"])
def test_functions_that_change_nothing_leave_each_flight_as_it_is_to_the_last_bit(craft, randomisation):
    task = Task(episode_steps=30, randomisation=randomisation)
    plain, (observation, reward) = flown(None, craft, task)
    for function in (lambda step: None, kept):
        other, (seen, paid) = flown(dict.fromkeys(CHANGES, function), craft, task)
        np.testing.assert_array_equal(observation, seen)
        np.testing.assert_array_equal(reward, paid)
        np.testing.assert_array_equal(plain.buffer, other.buffer)


def test_each_step_is_called_once_a_control_step_in_order_with_the_documented_shapes():
    calls = []

    def note(step):
        known = {"actuation": "action", "reward": "reward", "sensors": "observation", "observation": "observation"}
        for name, field in FIELDS.items():
            if field.rows is None and known.get(step.name) != name:
                with pytest.raises(AttributeError, match=f"{name} is not known at the step {step.name}"):
                    getattr(step, name)
                continue
            width = re.match(r"\(N,(?: (\d+))?\)", field.unit)[1]
            values = getattr(step, name)
            assert values.shape == ((N, int(width)) if width else (N,)) and values.dtype == np.float32
            assert not values.flags.writeable
        assert step.time.shape == step.begun.shape == step.flying.shape == (N,)
        assert step.vehicles == N and step.dt == 0.01 and step.airframe is CRAZYFLIE
        calls.append(step.name)

    environment, _ = flown(dict.fromkeys(CHANGES, note), steps=0)
    assert calls == ["reset", "sensors", "observation"]
    for _ in range(3):
        calls.clear()
        environment.step(np.zeros((N, 4)))
        assert calls == ["state", "actuation", "wind", "dynamics", "reward", "sensors", "observation"]


def test_time_counts_from_the_start_of_each_vehicles_own_episode():
    seen = {"wind": [], "dynamics": [], "sensors": []}
    note = {name: lambda step: seen[step.name].append(step.time.copy()) for name in seen}
    environment, _ = flown(note, steps=5)
    np.testing.assert_allclose(np.array(seen["wind"])[:, 0], [0, 0.01, 0.02, 0.03, 0.04])
    np.testing.assert_allclose(np.array(seen["dynamics"])[:, 0], [0.01, 0.02, 0.03, 0.04, 0.05])
    np.testing.assert_allclose(np.array(seen["sensors"])[:, 0], [0, 0.01, 0.02, 0.03, 0.04, 0.05])
    environment.reset(options={"reset_mask": np.arange(N) == 1})
    environment.step(np.zeros((N, 4)))
    np.testing.assert_allclose(seen["wind"][-1][:3], [0.05, 0, 0.05])


@pytest.mark.parametrize("step", [name for name in CHANGES if name != "reset"])
def test_begun_marks_the_first_call_of_an_episode_and_flying_the_step_that_only_begins_one(step):
    marks = []
    environment = Environment(CRAZYFLIE, N, Task(episode_steps=3, start=AT_REST))
    environment.insert(step, lambda view: marks.append((view.begun[0], view.flying[0])))
    environment.reset(seed=0)
    for _ in range(6):
        environment.step(np.zeros((N, 4)))
    begun, flying = zip(*marks, strict=True)
    if step in ("sensors", "observation"):  # also the first observation of all, then four a round: it begins, three steps
        assert begun == (True, False, False, False, True, False, False)
        assert flying == (False, True, True, True, False, True, True)
    else:
        assert begun == (True, False, False, False, True, False) and flying == (True, True, True, False, True, True)


# --- known facts ---


def test_a_constant_force_adds_its_share_of_the_mass_to_the_fall():
    force, seconds = np.array([0.02, -0.01, 0.005]), 0.5
    plain, _ = flown(None, steps=50, actions=np.full((50, N, 4), -1.0))
    blown, _ = flown({"wind": lambda step: step.force + force}, steps=50, actions=np.full((50, N, 4), -1.0))
    gained = blown.read(slice(7, 10)) - plain.read(slice(7, 10))
    moved = blown.read(slice(0, 3)) - plain.read(slice(0, 3))
    np.testing.assert_allclose(gained, np.tile(force / CRAZYFLIE.mass * seconds, (N, 1)), rtol=1e-4)
    np.testing.assert_allclose(moved, np.tile(force / CRAZYFLIE.mass * seconds**2 / 2, (N, 1)), rtol=1e-4)


def test_a_constant_torque_about_an_axis_adds_its_share_of_the_inertia_to_the_rate():
    spun, _ = flown({"wind": lambda step: {"torque": np.tile([0, 0, 1e-6], (N, 1))}}, steps=10, actions=np.zeros((10, N, 4)))
    expected = 1e-6 / CRAZYFLIE.inertia[2] * 0.1
    plain, _ = flown(None, steps=10, actions=np.zeros((10, N, 4)))
    np.testing.assert_allclose(spun.read(12) - plain.read(12), expected, rtol=0.02)  # less the drag of the turn


@pytest.mark.parametrize("craft", [CRAZYFLIE, SIH], ids=["motors", "rates"])
def test_a_delay_of_k_steps_flies_as_commands_that_come_k_steps_later(craft):
    def late(step):
        waiting = step.memory.setdefault("waiting", [np.zeros((N, 4))] * 3)
        waiting.append(step.action)
        return waiting.pop(0)

    actions = np.random.default_rng(1).uniform(-0.3, 0.3, (40, N, 4))
    _, (seen, _) = flown({"actuation": late}, craft, steps=40, actions=actions)
    shifted = np.concatenate([np.zeros((3, N, 4)), actions[:-3]])
    _, (expected, _) = flown(None, craft, steps=40, actions=shifted)
    np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize("load", [0.2, 0.4])
def test_a_payload_is_carried_by_so_much_more_thrust(load):
    def thrust_of(inserts):
        environment = Environment(CRAZYFLIE, N, FREE, inserts=inserts)
        observation, _ = environment.reset(seed=0)
        guide = GuideController(spike_ctrl.GeometricGuide(CRAZYFLIE))
        guide.begin(N)
        for _ in range(600):
            observation, *_ = environment.step(guide.act(observation, environment))
        r, (c0, c1, c2) = environment.rotor_speed, CRAZYFLIE.thrust_curve
        return (c0 + c1 * r + c2 * r**2).sum(1)

    ratio = thrust_of({"reset": lambda step: {"mass": (1 + load) * step.mass}}) / thrust_of(None)
    np.testing.assert_allclose(ratio, 1 + load, rtol=1e-3)


@pytest.mark.parametrize("step", ["sensors", "observation"])
def test_a_bias_of_a_sensor_is_seen_and_changes_neither_state_nor_reward(step):
    bias = np.eye(18)[2] * 0.25
    plain, (truth, reward) = flown(None)
    biased, (seen, paid) = flown({step: lambda view: view.observation + bias})
    np.testing.assert_allclose(seen - truth, np.tile(bias, (51, N, 1)), atol=1e-4)
    np.testing.assert_array_equal(biased.true_observation, plain.true_observation)
    np.testing.assert_array_equal(paid, reward)


def test_the_recipes_noise_comes_on_top_of_sensors_and_not_of_observation():
    task = dataclasses.replace(FREE, randomisation=Randomisation(noise=1.0))
    stuck = {name: {name: lambda step: np.ones((N, 18))} for name in ("sensors", "observation")}
    assert flown(stuck["sensors"], task=task)[1][0].std() > 0.01
    assert (flown(stuck["observation"], task=task)[1][0] == 1).all()


def test_a_ground_at_dynamics_holds_the_vehicles_and_what_is_observed_of_them():
    def ground(step):
        above = step.position[:, 2] > -0.1
        position, velocity = step.position.copy(), step.velocity.copy()
        position[~above, 2], velocity[~above] = -0.1, 0
        return {"position": position, "velocity": velocity}

    environment, (seen, _) = flown({"dynamics": ground}, actions=np.full((50, N, 4), -1.0))
    np.testing.assert_allclose(environment.read(2), -0.1)
    np.testing.assert_allclose(seen[-1, :, 2], environment.read(2) - environment.read(dynamics.TARGET + 2), rtol=1e-6)
    assert not environment.read(slice(7, 10)).any()


def test_a_load_that_is_dropped_in_flight_makes_the_vehicle_lighter_from_then_on():
    dropped = {"state": lambda step: {"mass": np.where(step.time >= 0.2, 0.02, 0.04)}}
    assert flown(dropped, steps=20)[0].plant[:, 0] == pytest.approx(0.04)
    assert flown(dropped, steps=21)[0].plant[:, 0] == pytest.approx(0.02)


@pytest.mark.parametrize("craft", [CRAZYFLIE, SIH, EXTENDED], ids=["motors", "rates", "extended"])
def test_a_reset_changes_the_vehicles_that_begin_alone_and_their_first_observation(craft):
    def turned(step):
        return {"rates": np.tile([1.0, 2.0, 3.0], (N, 1)), "force": np.tile([0, 0, 0.01], (N, 1))}

    environment = Environment(craft, N, FREE, inserts={"reset": turned})
    observation, _ = environment.reset(seed=0)
    np.testing.assert_array_equal(observation[:, 15:], np.tile([1, 2, 3], (N, 1)))
    environment.step(np.zeros((N, 4)))
    environment.disturbance = np.zeros((N, 6))
    before, who = environment.true_observation, np.arange(N) == 4
    observation, _ = environment.reset(options={"reset_mask": who})
    np.testing.assert_array_equal(observation[who, 15:], [[1, 2, 3]])
    np.testing.assert_array_equal(observation[~who], before[~who])
    np.testing.assert_allclose(environment.disturbance[:, 2], 0.01 * who)


def test_a_reward_of_ones_own_is_paid_and_counted_in_the_returns():
    environment = Environment(
        CRAZYFLIE, N, Task(episode_steps=5, start=AT_REST), inserts={"reward": lambda _: np.full(N, 2)}
    )
    environment.reset(seed=0)
    paid, returns = [], []
    for _ in range(11):
        _, reward, _, _, info = environment.step(np.zeros((N, 4)))
        paid.append(reward[0])
        returns += [float(info["flight"]["r"][0])] if info else []
    assert paid == [2, 2, 2, 2, 2, 0, 2, 2, 2, 2, 2]
    assert returns == pytest.approx([10, 10], rel=1e-5)


# --- several functions, seeds, memory ---


def test_several_functions_at_one_step_run_in_their_order_and_see_each_others_work():
    functions = [lambda step: step.force + 1, lambda step: 2 * step.force]
    environment = Environment(CRAZYFLIE, N, FREE, inserts={"wind": functions})
    environment.insert("wind", lambda step: step.force + 0.5)
    environment.reset(seed=0)
    environment.step(np.zeros((N, 4)))
    np.testing.assert_allclose(environment.disturbance[:, :3], 2.5)


def wandering(step):
    before = step.memory.get("walk", np.zeros((N, 3)))
    step.memory["walk"] = np.where(step.begun[:, None], 0, before) + 1e-3 * step.random.standard_normal((N, 3))
    return step.force + step.memory["walk"]


def test_equal_seeds_give_equal_flights_also_after_a_flight_and_another_seed_another():
    environment, (first, _) = flown({"wind": wandering})
    _, (again, _) = flown({"wind": wandering})
    np.testing.assert_array_equal(first, again)
    environment.reset(seed=3)
    random = np.random.default_rng(0)
    for _ in range(50):
        observation, *_ = environment.step(random.uniform(-1, 1, (N, 4)))
    np.testing.assert_array_equal(observation, first[-1])
    assert not np.array_equal(flown({"wind": wandering}, seed=4)[1][0], first)


def test_a_wind_ends_with_its_step_and_the_steady_force_stays():
    task = dataclasses.replace(FREE, randomisation=Randomisation(force=0.02))
    environment, _ = flown({"wind": lambda step: step.force + np.array([1.0, 0, 0])}, task=task, steps=0)
    steady = environment.disturbance
    assert steady.any()
    for _ in range(3):
        environment.step(np.zeros((N, 4)))
        np.testing.assert_allclose(environment.disturbance - steady, np.tile([1.0, 0, 0, 0, 0, 0], (N, 1)), atol=1e-6)
        np.testing.assert_array_equal(environment.read(dynamics.DISTURBANCE_ROWS), steady)


def test_what_a_function_gives_of_a_vehicle_whose_episode_is_over_does_not_count():
    def only_where_it_flies(step):
        return np.where(step.flying[:, None], step.force, np.nan)

    task = Task(episode_steps=5)
    _, (seen, _) = flown({"wind": only_where_it_flies}, task=task)
    np.testing.assert_array_equal(seen, flown(None, task=task)[1][0])


def test_the_disturbance_cannot_be_changed_in_vain_and_lasts_where_it_is_set():
    environment, _ = flown(None, steps=0)
    with pytest.raises(ValueError, match="read-only"):
        environment.disturbance[:, 0] = 0.01
    forces = np.zeros((N, 6))
    forces[:, 0] = 0.01
    environment.disturbance = forces
    for _ in range(10):
        environment.step(np.full((N, 4), -1.0))
    np.testing.assert_allclose(environment.read(7), 0.01 / CRAZYFLIE.mass * 0.1, rtol=1e-3)
    with pytest.raises(ValueError, match=rf"disturbance: found shape \(3,\), wanted \({N}, 6\) finite numbers"):
        environment.disturbance = np.zeros(3)


# --- what is refused ---


def missing(step):
    return gusts(step)  # noqa: F821


WRONG = {
    "shape": (
        lambda step: np.zeros((N, 2)),
        rf"force: found shape \({N}, 2\), wanted finite numbers of shape \({N}, 3\): .*N on the vehicle, world",
    ),
    "one": (lambda step: 1.0, r"force: found shape \(\), wanted"),
    "text": (lambda step: "strong", "force: found type <U6, wanted"),
    "complex": (lambda step: np.zeros((N, 3), complex), "force: found type complex128, wanted"),
    "object": (lambda step: np.full((N, 3), None), "force: found type object, wanted"),
    "ragged": (lambda step: [[1, 2], [1]], "force: found list "),
    "nan": (lambda step: np.full((N, 3), math.nan), r"force: found \[nan, nan, nan\] in vehicle 0, wanted"),
    "huge": (lambda step: np.full((N, 3), 1e300), r"force: found \[inf, inf, inf\] in vehicle 0, wanted"),
    "name": (lambda step: {"mass": step.mass}, "found 'mass', wanted among force, torque"),
    "raises": (missing, r"missing: NameError: name 'gusts' is not defined \(test_insert.py line \d+\)"),
    "writes": (lambda step: step.force.__iadd__(1), "ValueError: .*read-only"),
    "unknown": (lambda step: step.forces, "AttributeError: .* no attribute 'forces'"),
}


@pytest.mark.parametrize(("function", "told"), WRONG.values(), ids=WRONG)
def test_what_a_function_gives_wrongly_is_told_with_its_name_and_step(function, told):
    environment = Environment(CRAZYFLIE, N, inserts={"wind": function})
    environment.reset(seed=0)
    with pytest.raises(UsageError, match=rf"^insert wind: {__name__}:.*{told}"):
        environment.step(np.zeros((N, 4)))


@pytest.mark.parametrize(
    ("step", "given", "told"),
    [
        ("reset", {"mass": np.zeros(N)}, r"mass: found \[0.0\] in vehicle 0, wanted .*kg, above 0"),
        ("reset", {"quaternion": np.ones((N, 4))}, r"quaternion: found \[1.0, 1.0, 1.0, 1.0\] in vehicle 0, .* norm 1"),
        ("reset", np.zeros((N, 3)), "found ndarray, wanted None or a mapping of new position, quaternion"),
        ("sensors", np.zeros((N, 17)), r"observation: found shape .*, wanted finite numbers of shape \(20, 18\)"),
    ],
)
def test_a_state_that_cannot_be_is_refused(step, given, told):
    environment = Environment(CRAZYFLIE, N, inserts={step: lambda view: given})
    with pytest.raises(UsageError, match=f"insert {step}: .*{told}"):
        environment.reset(seed=0)


@pytest.mark.parametrize(
    ("step", "function", "told"),
    [
        ("winds", kept, "insert: found step 'winds', wanted one of reset, state, .*; did you mean 'wind'?"),
        ("wind", 3, "insert wind: found 3, wanted a function of a StepView"),
        ("wind", Trajectory, "insert wind: found <class .*Trajectory'>, wanted a function"),
        ("wind", lambda: None, "insert wind: .*too many positional arguments; wanted a function of one argument"),
        ("wind", lambda step, extra: None, "insert wind: .*missing a required argument: 'extra'; wanted a function of one"),
    ],
)
def test_what_cannot_be_inserted_is_refused_at_once(step, function, told):
    with pytest.raises(UsageError, match=told):
        Environment(CRAZYFLIE, N, inserts={step: function})
