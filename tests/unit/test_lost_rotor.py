"""The guide with a lost rotor: its hovers solve the equations of motion, and it keeps vehicles in the air that others lose.

The motion is integrated by scipy, from equations that are written here and know nothing of the simulator's kernels.
"""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.spatial.transform import Rotation

from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.control.lost_rotor import OBEYS, LostRotorGuide, hover

CRAZYFLIE = Airframe.load("crazyflie")
DRAGGED = dataclasses.replace(CRAZYFLIE, angular_drag=3e-5)  # N m s/rad
FAILS, TOLD = 0.5, 0.02  # s: when the rotor fails, and how much later the guide is told


def slope(craft: Airframe, state: NDArray, thrusts: NDArray) -> NDArray:
    """Of position, quaternion x, y, z, w, velocity and body rates (13,) under the rotors' thrusts (N)."""
    turn, w = Rotation.from_quat(state[3:7]), state[10:13]
    torque = sum(np.cross([x, y, 0], [0, 0, f]) for x, y, f in zip(craft.rotor_x, craft.rotor_y, thrusts, strict=True))
    torque[2] += craft.torque_per_thrust * np.dot(craft.rotor_spin, thrusts)
    torque = torque - craft.angular_drag * w
    (x, y, z), scalar = state[3:6], state[6]
    spun = 0.5 * np.array([*(scalar * w + np.cross((x, y, z), w)), -np.dot((x, y, z), w)])
    force = turn.apply([0, 0, sum(thrusts)]) / craft.mass - [0, 0, GRAVITY]
    return np.concatenate([state[7:10], spun, force, (torque - np.cross(w, craft.inertia * w)) / craft.inertia])


def flown(guide: GeometricGuide, shares: NDArray, seconds: float, stuck: NDArray = OBEYS) -> NDArray:
    """Positions (steps, 3) of a hover whose rotors give these shares (4,) of their thrust from FAILS on.

    stuck (4,): the speeds that rotors keep to from then on; negative: they obey.
    """
    craft = guide.airframe
    state, memory = np.array([0.1, -0.1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, *[craft.hover] * 4]), guide.initial_state(1)
    told, left, kept, places = np.ones((1, 4)), np.ones(4), OBEYS, []
    for step in range(round(100 * seconds)):
        left = shares if step >= 100 * FAILS else left
        told, known = (shares[None], stuck[None]) if step >= 100 * (FAILS + TOLD) else (told, OBEYS[None])
        kept = stuck if step >= 100 * FAILS else kept
        matrix = Rotation.from_quat(state[3:7]).as_matrix()
        seen = np.concatenate([state[:3], matrix.ravel(), state[7:13]])[None].astype(np.float32)
        more = {"effectiveness": told, "stuck": known} if isinstance(guide, LostRotorGuide) else {}
        action, memory = guide.act(seen, memory, state[None, 13:], np.zeros((1, 6)), **more)
        wanted = np.where(kept < 0, (action[0] + 1) / 2, kept)

        def change(_: float, y: NDArray, wanted: NDArray = wanted, left: NDArray = left) -> NDArray:
            speeding = (wanted - y[13:]) / np.where(wanted > y[13:], craft.lag_up, craft.lag_down)
            return np.concatenate([slope(craft, y, left * craft.thrust(y[13:])), speeding])

        state = solve_ivp(change, (0, 0.01), state, rtol=1e-4, atol=1e-6).y[:, -1]
        places.append(state[:3].copy())
    return np.array(places)


WHOLE = [1.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("craft", "shares", "stuck"),
    [
        (CRAZYFLIE, [0.3, 1, 1, 1], OBEYS), (CRAZYFLIE, [1, 1, 0.1, 1], OBEYS), (DRAGGED, [1, 0, 1, 1], OBEYS),
        (DRAGGED, [1, 0.6, 1, 0.3], OBEYS), (CRAZYFLIE, WHOLE, [-1, 0.4, -1, -1]), (DRAGGED, WHOLE, [-1, -1, -1, 0.9]),
    ],
)  # fmt: skip
def test_a_hover_keeps_its_body_rates_and_gains_no_speed_in_a_turn(
    craft: Airframe, shares: list[float], stuck: list[float]
) -> None:
    found = hover(craft, shares, stuck=stuck)
    assert found is not None
    low, high = np.multiply(shares, craft.thrust(0.0)), np.multiply(shares, craft.thrust(1.0))
    assert ((found.thrusts > low - 1e-8) & (found.thrusts < high + 1e-8)).all()
    for rotor in np.flatnonzero(np.array(stuck) >= 0):
        assert found.thrusts[rotor] == pytest.approx(craft.thrust(stuck[rotor]))
    upright, _ = Rotation.align_vectors([[0, 0, 1.0]], [found.axis])
    start = np.concatenate([np.zeros(3), upright.as_quat(), np.zeros(3), found.rates])
    turn = 2 * np.pi / np.linalg.norm(found.rates)
    end = solve_ivp(lambda _, y: slope(craft, y, found.thrusts), (0, turn), start, rtol=1e-10, atol=1e-12).y[:, -1]
    assert end[10:] == pytest.approx(found.rates, abs=1e-5)
    assert end[7:10] == pytest.approx(np.zeros(3), abs=1e-5)


def test_a_hover_without_a_turn_ends_where_the_weak_rotor_no_longer_carries_a_quarter_of_the_weight() -> None:
    least = 1 / CRAZYFLIE.thrust_to_weight  # .509
    above, below = hover(CRAZYFLIE, [1, least + 1e-3, 1, 1]), hover(CRAZYFLIE, [1, least - 1e-3, 1, 1])
    assert above is not None and not above.rates.any()
    assert below is not None and np.linalg.norm(below.rates) > 1


def test_without_drag_of_turning_three_rotors_hover_only_above_a_thrust_of_twice_the_weight() -> None:
    """Yaw balances only if one rotor gives about half of all the thrust."""
    assert CRAZYFLIE.thrust_to_weight < 2 and hover(CRAZYFLIE, [0, 1, 1, 1]) is None
    stronger = dataclasses.replace(CRAZYFLIE, thrust_curve=tuple(2.1 / 1.966 * c for c in CRAZYFLIE.thrust_curve))
    found = hover(stronger, [0, 1, 1, 1])
    assert found is not None and found.thrusts[2] == pytest.approx(found.thrusts.sum() / 2, rel=0.03)


def test_the_guide_stays_where_a_rotor_has_failed_and_the_one_that_is_told_nothing_falls() -> None:
    shares = np.array([1, 1, 0.4, 1])
    places = flown(LostRotorGuide(CRAZYFLIE), shares, 3.0)
    assert np.linalg.norm(places, axis=-1).max() < 1
    assert np.linalg.norm(places[-30:], axis=-1).max() < 0.3
    assert np.linalg.norm(flown(GeometricGuide(CRAZYFLIE), shares, 1.7)[-1]) > 2


@pytest.mark.parametrize("speed", [0.0, 0.4, 0.8, 0.95])
def test_the_guide_stays_where_a_rotor_is_stuck_at_a_speed(speed: float) -> None:
    stuck = np.array([-1, speed, -1, -1])
    places = flown(LostRotorGuide(DRAGGED), np.ones(4), 4.0, stuck)
    assert np.linalg.norm(places, axis=-1).max() < 1.5
    assert np.linalg.norm(places[-30:], axis=-1).max() < 1.2
    assert np.linalg.norm(flown(GeometricGuide(DRAGGED), np.ones(4), 2.0, stuck)[-1]) > 2


def test_vehicles_with_whole_rotors_fly_as_by_the_geometric_guide() -> None:
    dice = np.random.default_rng(3)
    seen, speeds = dice.normal(size=(8, 18)).astype(np.float32), dice.uniform(size=(8, 4)).astype(np.float32)
    plain, told = GeometricGuide(CRAZYFLIE), LostRotorGuide(CRAZYFLIE)
    shares = np.ones((8, 4))
    shares[3, 2] = 0.2
    wanted, _ = plain.act(seen, plain.initial_state(8), speeds)
    found, after = told.act(seen, told.initial_state(8), speeds, effectiveness=shares)
    others = np.arange(8) != 3
    assert np.array_equal(found[others], wanted[others]) and not np.array_equal(found[3], wanted[3])
    assert np.array_equal(told.reset_rows(after, others)[others], told.initial_state(7))


def test_the_guide_refuses_an_airframe_that_is_commanded_by_rates() -> None:
    with pytest.raises(UsageError, match="action_layout"):
        LostRotorGuide("sih_quadx")
