"""Flights without motion capture: gyro and accelerometer tell what an estimator cannot; what nothing tells is said."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from simulated_flight import CRAZYFLIE, TRUTH, simulate

from spike_ctrl_identify.flight_fit import begin, fit_flights, parameters
from spike_ctrl_identify.inertial_state import inertial_state
from spike_ctrl_identify.open_loop import difference

TRIMS = ((1.0e-4, -2.0e-4, 3e-6), (-1.5e-4, 1.0e-4, -2e-6))
EVERYWHERE = slice(100, -100)


def wander(random, count, deviation, time):
    """An error (count, 3) of this deviation that lasts `time` seconds."""
    kept = np.exp(-0.01 / time)
    error = np.zeros((count, 3))
    error[0] = deviation * random.standard_normal(3)
    for row in range(1, count):
        error[row] = kept * error[row - 1] + deviation * np.sqrt(1 - kept * kept) * random.standard_normal(3)
    return error


def measured(flight, seed):
    """What an estimator and an accelerometer make of an exact flight: states (T, 13) and specific force (T, 3)."""
    random, true = np.random.default_rng(seed), flight.state
    count, seen = len(true), true.copy()
    seen[:, :3] += wander(random, count, 0.015, 0.35)
    seen[:, 7:10] += wander(random, count, 0.049, 0.4)
    attitude = Rotation.from_quat(true[:, 3:7])
    tilt = wander(random, count, 0.018, 0.8) + np.array([0.01, -0.01, 0])
    seen[:, 3:7] = (attitude * Rotation.from_rotvec(tilt)).as_quat()
    seen[:, 10:] += 0.03 * random.standard_normal((count, 3))
    upward = np.array([0, 0, 9.81])
    force = attitude.inv().apply(np.gradient(true[:, 7:10], 0.01, axis=0) + upward)
    return seen, force + (0.1, -0.05, 0.1) + 0.2 * random.standard_normal((count, 3))


@pytest.fixture(scope="module")
def exact():
    return [
        simulate(name=f"flight{n}", trim=trim, charge=0.95 - 0.3 * n, seed=n, explore=0.05, noise=0.0)
        for n, trim in enumerate(TRIMS)
    ]


@pytest.fixture(scope="module")
def alone(exact):
    """The same flights by estimator and accelerometer."""
    found = []
    for number, flight in enumerate(exact):
        seen, force = measured(flight, number)
        found.append(flight._replace(state=inertial_state(seen, force, np.ones(len(seen), bool)), sensed=force))
    return found


def test_within_a_fifth_of_a_second_the_inertial_state_moves_as_the_vehicle_did(exact, alone):
    for flight, mine in zip(exact, alone, strict=True):
        seen = measured(flight, int(flight.name[-1]))[0]
        changes = []
        for state in (seen, mine.state):
            error = difference(flight.state, state)[EVERYWHERE]
            changes.append(np.sqrt(((error[20:] - error[:-20]) ** 2).mean(0)))
        estimator, inertial = changes
        assert (inertial[3:6] < 0.5 * estimator[3:6]).all() and (inertial[6:9] < 0.5 * estimator[6:9]).all()


def test_nothing_is_integrated_across_a_gap(exact):
    seen, force = measured(exact[0], 0)
    unbroken = np.ones(len(seen), bool)
    unbroken[1000:1010], force[1000:1010] = False, 1e6
    found = inertial_state(seen, force, unbroken)
    np.testing.assert_array_equal(found[1000:1010], seen[1000:1010])
    assert np.abs(found[:, 7:10] - seen[:, 7:10]).max() < 1.0


def test_each_parameter_lies_in_its_interval_without_motion_capture(alone):
    found = fit_flights(CRAZYFLIE, alone)
    speed = (found.airframe.battery.nominal / TRUTH.battery.nominal) ** TRUTH.battery.exponent
    c0, c1, c2 = TRUTH.thrust_curve
    truth = dataclasses.replace(TRUTH, thrust_curve=(c0, c1 * speed, c2 * speed * speed))
    hover = begin(CRAZYFLIE, alone)[1]
    told = {p.name: p.get(truth) for p in parameters(found.airframe, hover)} | {"hover_thrust": truth.thrust(hover)}
    for name, wanted in told.items():
        estimate = found.estimate(name)
        if estimate.identified:
            assert abs(wanted - estimate.value) <= 1.5 * estimate.half_width, (estimate, wanted)
    for name in ("hover_thrust", "lag", "inertia_x", "inertia_y", "body_drag_x", "body_drag_y"):
        assert found.estimate(name).identified, name


def test_an_estimator_alone_tells_no_forces(exact):
    blind = [flight._replace(state=measured(flight, 0)[0], forces=False) for flight in exact]
    found = fit_flights(CRAZYFLIE, blind)
    for name in ("hover_thrust_slope", "body_drag_x", "body_drag_y", "body_drag_z"):
        assert not found.estimate(name).identified, name
    assert found.airframe.body_drag == CRAZYFLIE.body_drag
    (_, c1, c2), (_, b1, b2) = found.airframe.thrust_curve, begin(CRAZYFLIE, blind)[0].thrust_curve
    assert c1 / c2 == pytest.approx(b1 / b2)
