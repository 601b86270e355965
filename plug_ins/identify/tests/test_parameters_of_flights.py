"""An airframe from flights by motor commands: what is known beforehand is found; what no flight tells is said."""

import dataclasses

import numpy as np
import pytest
import scipy.linalg
from simulated_flight import CRAZYFLIE, TRUTH, simulate

from spike_ctrl.airframe import JOINT
from spike_ctrl_identify import IdentifyError, battery_fit, fidelity, observer, open_loop
from spike_ctrl_identify.flight_fit import _at_bound, begin, fit_flights, parameters
from spike_ctrl_identify.observed_flight import AHEAD, HISTORY

TRIMS = ((1.0e-4, -2.0e-4, 3e-6), (-1.5e-4, 1.0e-4, -2e-6))


@pytest.fixture(scope="module")
def flights():
    return [
        simulate(name=f"flight{n}", trim=trim, charge=0.95 - 0.3 * n, seed=n, explore=0.05) for n, trim in enumerate(TRIMS)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def found(flights):
    return fit_flights(CRAZYFLIE, flights)


def alike(value, craft):
    """What a flight can tell of a parameter: with the mass of the prior, at its own inertia about z."""
    return value * (CRAZYFLIE.mass / craft.mass)


def test_each_parameter_of_a_simulated_flight_lies_in_its_interval(found, flights):
    nominal = found.airframe.battery.nominal / TRUTH.battery.nominal
    # The same vehicle with the battery's nominal voltage where the fit put it: r = u (V / nominal)^exponent.
    speed = nominal**TRUTH.battery.exponent
    c0, c1, c2 = TRUTH.thrust_curve
    truth = dataclasses.replace(TRUTH, thrust_curve=(c0, c1 * speed, c2 * speed * speed))
    hover = typical_speed(found, flights)
    told = {p.name: p.get(truth) for p in parameters(found.airframe, hover)}
    told |= {"hover_thrust": truth.thrust(hover), "battery.exponent": truth.battery.exponent}
    for name, wanted in told.items():
        estimate = found.estimate(name)
        assert estimate.identified, estimate
        assert abs(wanted - estimate.value) <= 1.5 * estimate.half_width, (estimate, wanted)


def typical_speed(found, flights):
    """Where on the thrust curve the fit tells thrust and slope: the mean speed at the prior's exponent."""
    return begin(CRAZYFLIE, flights)[1]


def test_the_fit_does_not_ignore_the_motors(found):
    for axis in range(2):
        assert found.airframe.inertia[axis] == pytest.approx(TRUTH.inertia[axis], rel=0.15)


def test_a_fit_that_looks_farther_ahead_predicts_better_there_with_a_vehicle_that_is_less_true():
    """In gusts that no log shows, to which the controller reacts."""
    flights = [
        simulate(trim=trim, charge=0.95 - 0.2 * n, seed=n, gust=13.0, explore=0.0) for n, trim in enumerate(2 * TRIMS)
    ]
    near, far = (fit_flights(CRAZYFLIE, flights[:2], ahead=ahead).airframe for ahead in (0.2, 0.5))
    attitude = [fidelity.judge("", craft, flights[2:]).mean[fidelity.HORIZONS.index(50), 2] for craft in (near, far)]
    assert attitude[1] < attitude[0]
    assert abs(near.angular_drag - TRUTH.angular_drag) < abs(far.angular_drag - TRUTH.angular_drag)
    assert abs(near.lag_up - TRUTH.lag_up) < abs(far.lag_up - TRUTH.lag_up)


def test_the_joint_spread_is_within_the_intervals_and_has_correlations(found):
    factor = np.zeros((len(JOINT), len(JOINT)))
    factor[np.tril_indices(len(JOINT))] = found.airframe.joint_spread
    covariance = factor @ factor.T
    for name in ("lag", "inertia_x", "velocity_moment_x"):
        estimate, row = found.estimate(name), JOINT.index(name)
        deviation = estimate.half_width / abs(estimate.value) / 1.96
        assert 0.3 * deviation < np.sqrt(covariance[row, row]) < 1.02 * deviation  # at the slope that was found
    correlation = covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert 0.1 < np.abs(correlation[np.triu_indices(len(JOINT), 1)]).max() < 1  # little: these flights excite all


def test_a_parameter_that_ends_at_its_bound_is_not_reported_as_found():
    every = {p.name: p for p in parameters(TRUTH, 0.6)}
    for name, value in (("dead_time", 0.04), ("lag", 0.3), ("hover_thrust_slope", 1e3), ("body_drag_x", 0.0)):
        assert _at_bound(every[name], every[name].put(TRUTH, value)), name
    assert not any(_at_bound(p, TRUTH) for p in every.values())


def test_each_flight_has_its_own_trim_torque(found):
    for (name, trim), wanted in zip(found.trims, TRIMS, strict=True):
        np.testing.assert_allclose(trim[:2], wanted[:2], atol=2e-5, err_msg=name)


def test_the_battery_sags_and_drains_as_the_simulated_one(found):
    battery = found.airframe.battery
    assert battery.sag == pytest.approx(TRUTH.battery.sag, abs=2 * found.estimate("battery.sag").half_width + 0.05)
    assert battery.endurance == pytest.approx(TRUTH.battery.endurance, rel=0.2)


def test_a_flight_held_out_is_predicted_better_than_by_the_prior_and_what_is_done_grows(flights):
    shares = []
    found = fit_flights(CRAZYFLIE, flights[:1], lambda line, share: shares.append(share), flights[1:])
    assert found.error[0] < 0.5 * found.prior_error[0] and found.error[1] < 0.5 * found.prior_error[1]
    assert "held out" in found.judged
    known = [share for share in shares if np.isfinite(share)]
    assert len(known) >= 2 and known == sorted(known) and 0 < known[0] and known[-1] <= 1


def test_without_voltage_there_is_no_battery(flights):
    short = {name: getattr(flights[0], name)[:1500] for name in ("state", "command", "voltage", "good", "lost")}
    short["voltage"] = np.full_like(short["voltage"], np.nan)
    found = fit_flights(CRAZYFLIE, [flights[0]._replace(**short)])
    assert found.airframe.battery is None
    assert found.estimate("hover_thrust").identified


def test_a_prior_with_a_battery_gives_it_up_where_a_flight_lacks_the_voltage(flights):
    dark = flights[0]._replace(voltage=np.full_like(flights[0].voltage, np.nan))
    craft, hover = begin(TRUTH, [flights[1], dark])
    assert craft.battery is None and hover == pytest.approx(np.concatenate([f.command for f in flights]).mean())
    assert begin(TRUTH, flights)[0].battery == TRUTH.battery


def test_too_little_flight_is_refused_with_what_there_is(flights):
    short = flights[0]._replace(
        **{name: getattr(flights[0], name)[:250] for name in ("state", "command", "voltage", "good", "lost")}
    )
    with pytest.raises(IdentifyError, match=r"found 2.5 s in the air above 0.25 m and 10 times .* wanted at least 40"):
        fit_flights(CRAZYFLIE, [short])


def test_no_start_has_a_gap_before_or_after_it(flights):
    good = flights[0].good.copy()
    good[1000] = False
    starts = flights[0]._replace(good=good).starts()
    assert len(starts) and not ((starts >= 1000 - AHEAD) & (starts <= 1000 + HISTORY)).any()
    assert {1000 - AHEAD - 5, 1000 + HISTORY + 5} <= set(starts)


def test_the_observer_settles_at_the_gains_of_the_riccati_equation():
    """Of scipy: the stationary Kalman gain of the same chain."""
    noise, dt = observer.ROTATION, 0.01
    kept = np.exp(-dt / noise.time)
    move = np.array([[1, dt, dt * dt / 2, dt * dt / 2], [0, 1, dt, dt], [0, 0, 1, 0], [0, 0, 0, kept]])
    see, measured = np.eye(4)[:2], np.diag([noise.place**2, noise.speed**2])
    grown = np.diag([0, noise.drift**2 * dt, noise.walk**2 * dt, noise.gust**2 * (1 - kept * kept)])
    spread = scipy.linalg.solve_discrete_are(move.T, see.T, grown, measured)
    wanted = spread @ see.T @ np.linalg.inv(see @ spread @ see.T + measured)
    np.testing.assert_allclose(observer.gains(noise, 2000, dt)[-1], wanted, rtol=1e-3, atol=1e-6)


def test_the_airframe_that_flew_predicts_a_flight_without_noise():
    flight = simulate(noise=0.0, explore=0.0, seconds=8, trim=TRIMS[0])
    exact = fidelity.judge("truth", TRUTH, [flight])
    position, velocity, attitude, rates = exact.mean[fidelity.HORIZONS.index(50)]
    assert position < 2e-3 and velocity < 0.015 and attitude < 0.4 and rates < 0.02
    heavier = dataclasses.replace(TRUTH, inertia=tuple(1.2 * j for j in TRUTH.inertia))
    assert (fidelity.judge("heavier", heavier, [flight]).mean[2] > 1.5 * exact.mean[2]).all()


def test_simple_predictions_are_exact_for_simple_motions():
    flight = simulate(noise=0.0, seconds=4)
    state = np.zeros_like(flight.state)
    state[:, 6], state[:, 7], state[:, 2] = 1, 0.7, 1.0
    state[:, 0] = 0.007 * np.arange(len(state))
    spin = 0.5 * np.arange(len(state)) / 100
    state[:, 5], state[:, 6], state[:, 12] = np.sin(spin / 2), np.cos(spin / 2), 0.5
    hold, constant = fidelity.simple([flight._replace(state=state)])
    np.testing.assert_allclose(constant.mean, 0, atol=2e-4)
    np.testing.assert_allclose(hold.mean[:, 0], 0.7 * np.array(fidelity.HORIZONS) / 100, rtol=1e-3)
    np.testing.assert_allclose(hold.mean[:, 2], np.degrees(0.5 * np.array(fidelity.HORIZONS) / 100), rtol=1e-3)


def test_the_bootstrap_covers_the_mean_of_flights_that_differ():
    random = np.random.default_rng(0)
    covered = 0
    for trial in range(100):
        errors = fidelity.Errors("any", random.normal(1.0, 0.2, (18, 4, 4)))
        low, high = errors.interval(trial)
        covered += int((low <= 1.0).mean() + (high >= 1.0).mean() > 1.85)
    assert covered > 70


def test_a_difference_of_attitudes_is_the_rotation_between_them():
    from scipy.spatial.transform import Rotation

    random = np.random.default_rng(1)
    a, turn = Rotation.random(20, rng=random), Rotation.from_rotvec(random.normal(0, 0.5, (20, 3)))
    states = np.zeros((2, 20, 13))
    states[0, :, 3:7], states[1, :, 3:7] = a.as_quat(), -(a * turn).as_quat()
    np.testing.assert_allclose(open_loop.difference(*states)[:, 6:9], turn.as_rotvec(), atol=1e-5)


def test_a_battery_that_does_not_drain_keeps_the_prior_endurance(flights):
    steady = flights[0]._replace(voltage=np.full_like(flights[0].voltage, 3.7))
    craft, estimates = battery_fit.fit_battery(TRUTH, [steady])
    assert craft.battery.endurance == TRUTH.battery.endurance
    assert not {e.name: e for e in estimates}["battery.endurance"].identified
