"""Identification on simulated flight, where the truth is known; what a flight cannot tell is said, not guessed."""

import dataclasses

import numpy as np
import pytest
import yaml
from recorded import fly, write_flight

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.cli import main
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.recordings import BagError
from spike_ctrl.recordings.reader import read
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.observation import NOISE
from spike_ctrl.sim.randomisation import InitialStates
from spike_ctrl_identify import IdentifyError, fit
from spike_ctrl_identify import identified_airframe as identification
from spike_ctrl_identify.flight_windows import TOPICS, Segment, Windows, of_observation, segments, windows
from spike_ctrl_identify.observed_flight import observed_flights

CRAZYFLIE, SIH = airframe.load("crazyflie"), airframe.load("sih_quadx")
LIVELY = {
    "motors": InitialStates(tilt=1.0, velocity=1.0, rates=3.0),
    "rates": InitialStates(position=2, tilt=0.6, velocity=1.5, rates=1, yaw=2, rotors_low=0.3, rotors_high=0.7),
}
HOVERING = InitialStates(at_target=1.0, rotors_low=CRAZYFLIE.hover, rotors_high=CRAZYFLIE.hover)


def different(prior, seed, size=0.1):
    """An airframe with each parameter up to `size` away from a prior's."""
    random = np.random.default_rng(seed)

    def near(value):
        return tuple((np.array(value) * (1 + random.uniform(-size, size, 3))).tolist())

    named = ("mass", "torque_per_thrust", "lag_up", "lag_down", "linear_drag", "angular_drag")
    single = {name: getattr(prior, name) * (1 + random.uniform(-size, size)) for name in named}
    return dataclasses.replace(prior, inertia=near(prior.inertia), thrust_curve=near(prior.thrust_curve), **single)


def of_mass(craft, mass):
    """The airframe that flies alike with another mass: what a flight can tell of it."""
    k = mass / craft.mass
    alike = {name: getattr(craft, name) * k for name in ("linear_drag", "angular_drag")}
    scaled = {name: tuple(v * k for v in getattr(craft, name)) for name in ("inertia", "thrust_curve")}
    return dataclasses.replace(craft, mass=mass, **alike, **scaled)


def flight(truth, prior, *, vehicles=24, steps=250, noise=0.5, explore=0.1, start=None, seed=0):
    """Segments of `truth`, flown by a guide for `prior` that sees noise; explore: deviation of what is added to actions."""
    task = Task(box=1e3, episode_steps=10**6, start=start or LIVELY[prior.action_layout])
    environment, random = Environment(truth, vehicles, task), np.random.default_rng(seed)
    guide = GeometricGuide(prior)
    held, observation = guide.initial_state(vehicles), environment.reset(seed=seed)[0]

    def sensed():
        return (observation + noise * NOISE * random.standard_normal(observation.shape)).astype(np.float32)

    seen, actions = [sensed()], []
    for _ in range(steps):
        action, held = guide.act(seen[-1], held)
        action = np.clip(action + explore * random.standard_normal(action.shape), -1, 1).astype(np.float32)
        observation, *_ = environment.step(fit._meant(action[None], truth, prior)[0])
        actions.append(action)
        seen.append(sensed())
    seen, actions = np.array(seen), np.array(actions)
    return [Segment(of_observation(seen[:, n]), actions[:, n]) for n in range(vehicles)]


def cut(pieces, prior):
    loop = prior.action_layout == "rates"
    return windows(pieces, prior, 80 if loop else 58, 40 if loop else 25, 200)


@pytest.mark.parametrize("seed", [1, 2])
def test_all_parameters_of_a_vehicle_commanded_by_motors_are_found(seed):
    truth = different(CRAZYFLIE, seed)
    found = fit.fit(CRAZYFLIE, cut(flight(truth, CRAZYFLIE, seed=seed), CRAZYFLIE))
    alike = of_mass(truth, CRAZYFLIE.mass)
    for parameter in fit.parameters(CRAZYFLIE):
        estimate = found.estimate(parameter.name)
        assert estimate.identified and estimate.share <= 0.2, estimate
        assert abs(parameter.get(alike) - estimate.value) <= 1.5 * estimate.half_width, (estimate, parameter.get(alike))
    assert found.airframe.hover == pytest.approx(truth.hover, rel=5e-3)
    assert found.error[1] < 0.8 * found.prior_error[1]
    for u in (0.3, 0.5, 0.7, 0.9):
        assert found.airframe.thrust(u) == pytest.approx(alike.thrust(u), rel=0.03)


def test_all_parameters_of_a_vehicle_with_a_rate_loop_are_found():
    truth = different(SIH, 2)
    found = fit.fit(SIH, cut(flight(truth, SIH, vehicles=16, steps=400), SIH))
    alike = of_mass(truth, SIH.mass)
    for parameter in fit.parameters(SIH):
        estimate = found.estimate(parameter.name)
        assert estimate.identified, estimate
        assert abs(parameter.get(alike) - estimate.value) <= max(1.5 * estimate.half_width, 0.1 * estimate.value), estimate
    assert found.airframe.rate_loop.delay == pytest.approx(SIH.rate_loop.delay, abs=0.0026)
    assert found.airframe.hover == pytest.approx(truth.hover, rel=5e-3)


def test_a_hover_tells_the_thrust_and_names_what_it_cannot_tell():
    truth = different(CRAZYFLIE, 1)
    pieces = flight(truth, CRAZYFLIE, start=HOVERING, noise=0.0, explore=0.0, vehicles=8)
    found = fit.fit(CRAZYFLIE, cut(pieces, CRAZYFLIE))
    assert found.estimate("hover_thrust").identified
    assert found.airframe.hover == pytest.approx(truth.hover, rel=0.01)
    for name in ("inertia_x", "inertia_y", "inertia_z", "torque_per_thrust", "angular_drag"):
        estimate = found.estimate(name)
        assert not estimate.identified and estimate.value == estimate.prior
    kept = "inertia_x: the flight hardly depends on it (it could be anything), so the prior's value is kept"
    assert kept in identification.parameter_table(found, CRAZYFLIE)
    around = identification.ranges(found)
    assert around.inertia == around.torque == 0.2 and around.thrust >= 0.05


@pytest.mark.parametrize("craft", [CRAZYFLIE, SIH])
def test_the_simulation_of_the_truth_is_the_flight(craft):
    """Once rotors and filters are known: to a fiftieth of what a parameter that is a tenth off makes of it."""
    pieces = flight(craft, craft, noise=0.0, vehicles=16)
    found = cut(pieces, craft)
    heavier = dataclasses.replace(craft, inertia=tuple(1.1 * j for j in craft.inertia))
    mine, other = (np.sqrt((fit.error(c, craft, found)[..., 3:] ** 2).mean()) for c in (craft, heavier))
    assert mine < 0.02 if craft is CRAZYFLIE else mine < 0.05
    assert mine < 0.2 * other


def test_the_integral_of_the_rate_loop_is_that_of_the_loop():
    from spike_ctrl.sim import dynamics
    from spike_ctrl_identify.flight_windows import integrals

    environment = Environment(SIH, 1, Task(box=1e3, episode_steps=10**6, start=LIVELY["rates"]))
    observation, states, actions, held = environment.reset(seed=3)[0], [], [], []
    random = np.random.default_rng(0)
    for step in range(200):
        action = np.float32([[0, *(0.3 * np.sin(0.05 * step + random.uniform(0, 0.1, 3)))]])
        states.append(observation[0])
        actions.append(action[0])
        held.append(environment.read(slice(dynamics.RATE_INTEGRAL, dynamics.GYRO))[0])
        observation, *_ = environment.step(action)
    states.append(observation[0])
    found = integrals(Segment(of_observation(np.array(states)), np.array(actions)), SIH)
    assert np.abs(held).max() > 0.02
    np.testing.assert_allclose(found, held, atol=0.12 * np.abs(held).max())


def test_the_thrust_curve_keeps_the_terms_of_its_prior():
    for craft, names in ((SIH, 1), (CRAZYFLIE, 3)):
        thrusts = [p for p in fit.parameters(craft) if p.name.startswith("hover_thrust")]
        assert len(thrusts) == names
        for p in thrusts:
            changed = p.put(craft, 1.05 * p.get(craft))
            assert [c == 0 for c in changed.thrust_curve] == [c == 0 for c in craft.thrust_curve]
            assert p.get(changed) == pytest.approx(1.05 * p.get(craft))
            for q in thrusts:
                assert q is p or q.get(changed) == pytest.approx(q.get(craft))


@pytest.mark.installed
def test_too_short_a_flight_is_refused_with_what_it_has():
    with pytest.raises(
        IdentifyError, match=r"found 5.0 s of flight without a gap, in 14 windows of 0.83 s, wanted at least 20"
    ):
        cut(flight(CRAZYFLIE, CRAZYFLIE, vehicles=2), CRAZYFLIE)


def recorded_flight(path, truth=None, prior=SIH, **options):
    """A flight of 25 s in the autopilot's own steps of 8 and 12 ms, written as the flight nodes do."""
    piece = flight(truth or different(SIH, 2), prior, vehicles=1, steps=2500, noise=0.3)[0]
    step = np.random.default_rng(1).choice([0.008, 0.012], len(piece.action))
    stamps = np.append(0.0, np.cumsum(step))
    grid = np.arange(len(piece.state)) / 100
    inside = stamps <= grid[-1]
    between = np.column_stack([np.interp(stamps[inside], grid, column) for column in piece.state.T])
    between[:, 3:7] /= np.linalg.norm(between[:, 3:7], axis=1, keepdims=True)
    action = piece.action[np.minimum(np.round(stamps[inside] * 100).astype(int), len(piece.action) - 1)][:-1]
    write_flight(path, between, action, action, "rates", stamps=stamps[inside], **options)


@pytest.mark.parametrize("ticks", range(40, 60))
def test_stamps_whose_grid_rounds_beyond_the_last_of_them_are_read(ticks, tmp_path):
    state, action = np.zeros((ticks, 13)), np.zeros((ticks - 1, 4))
    state[:, 6] = 1
    write_flight(tmp_path / "bag", state, action, action, "rates", stamps=np.arange(2484, 2484 + ticks) / 100)
    (piece,) = segments(read(tmp_path / "bag", TOPICS), SIH)
    assert len(piece.action) in (ticks - 3, ticks - 2)


def test_a_stamp_that_repeats_begins_another_piece(tmp_path):
    state, action, stamps = np.zeros((60, 13)), np.zeros((59, 4)), np.arange(60) / 100
    state[:, 6], stamps[30] = 1, stamps[29]
    write_flight(tmp_path / "bag", state, action, action, "rates", stamps=stamps)
    assert len(segments(read(tmp_path / "bag", TOPICS), SIH)) == 2
    write_flight(tmp_path / "motors", state, action, action, "motors", stamps=stamps)
    with pytest.raises(BagError, match="motors: flight_state: found stamps that repeat or go back"):
        observed_flights([tmp_path / "motors"], CRAZYFLIE)


def test_the_verb_writes_an_airframe_and_a_recipe_that_training_takes(tmp_path, capsys):
    truth = different(SIH, 2)
    recorded_flight(tmp_path / "bag", truth)
    out = tmp_path / "mine.yaml"
    assert main.main(["identify", str(tmp_path / "bag"), "--airframe", "sih_quadx", "-o", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "95 % interval" in shown and "predicting 0.4 s" in shown
    craft, plan = airframe.load(out), recipes.load(tmp_path / "mine_recipe.yaml")
    assert craft.name == "mine" and craft.hover == pytest.approx(truth.hover, rel=0.02)
    around = plan.task.randomisation
    assert 0.05 <= around.thrust <= 0.2 and 0.05 <= around.inertia <= 0.2
    assert around.delay == recipes.find("rates").task.randomisation.delay
    assert "# Identified from" in out.read_text() and yaml.safe_load(out.read_text())["mass"] == "1.0 kg"


@pytest.mark.parametrize(
    "leave_out, message",
    [
        (("command",), "found no transition and no command, wanted one of them: what was flown"),
        (("flight_state",), "found no flight_state, wanted it: state is seen from a set-point that moves"),
    ],
)
def test_a_flight_that_lacks_a_topic_is_refused_by_its_name(tmp_path, capsys, leave_out, message):
    state, action = np.zeros((50, 13)), np.zeros((49, 4))
    state[:, 6] = 1
    write_flight(tmp_path / "bag", state, action, action, "rates", leave_out=leave_out)
    assert main.main(["identify", str(tmp_path / "bag"), "--airframe", "sih_quadx", "-o", str(tmp_path / "mine.yaml")]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "mine.yaml").exists()


def test_simulated_episodes_are_segments_that_end_where_they_do(tmp_path):
    fly(tmp_path / "bag", resources.folder("models") / "crazyflie.safetensors", vehicles=2, ticks=250, skip=(40,))
    found = segments(read(tmp_path / "bag", TOPICS), CRAZYFLIE)
    assert sorted(len(piece.action) for piece in found)[-2:] == [100, 100]
    for piece in found:
        assert len(piece.state) == len(piece.action) + 1 <= 101
        jumps = np.abs(np.diff(piece.state[:, :3], axis=0)).max()
        assert jumps < 0.1  # no start of another episode in it


def test_windows_share_no_compared_step():
    piece = flight(CRAZYFLIE, CRAZYFLIE, vehicles=1, steps=2000)[0]
    found = windows([piece], CRAZYFLIE, 58, 25, 10**6)
    assert isinstance(found, Windows) and found.count == (2000 - 83) // 25 + 1
    compared = found.state[59:, :, 0].T.ravel()
    np.testing.assert_array_equal(compared, piece.state[59 : 59 + len(compared), 0])
