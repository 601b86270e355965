"""A guide that takes over a vehicle on its side, 3 m above the ground, on a plant that mixes as PX4 does.

PX4 v1.17 with its default MC_AIRMODE 0: the guide asked for no thrust and 3.84 rad/s, which gave no torque, and the vehicle
met the ground at 5.9 m/s.
"""

import math

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.px4 import link
from spike_ctrl.sim import dynamics, observation
from spike_ctrl.sim.action_mapping import LEAST_COLLECTIVE
from spike_ctrl.sim.dynamics import POSITION, QUATERNION, ROTORS
from spike_ctrl.simulated_px4.plant import TICK, Plant

SIH = airframe.load("sih_quadx")


def recover(degrees, floor=True, airmode=0, height=3.0, seconds=4.0):
    """Lowest height (m), tilt at the end (degrees) and touch-down (m/s) of a vehicle that begins on its side."""
    plant, guide = Plant(SIH), GeometricGuide(SIH)
    half = math.radians(degrees) / 2
    dynamics.write(plant.buffer, slice(POSITION, POSITION + 3), [[0.0, 0.0, height]])
    dynamics.write(plant.buffer, slice(QUATERNION, QUATERNION + 4), [[math.sin(half), 0.0, 0.0, math.cos(half)]])
    dynamics.write(plant.buffer, slice(ROTORS, ROTORS + 4), [[SIH.hover] * 4])
    integral, lowest, thrust, rates = guide.initial_state(1), height, SIH.hover, (0.0, 0.0, 0.0)
    for tick in range(round(seconds / TICK)):
        state = plant.state
        if tick % 3 == 0:  # every 12 ms
            seen = observation.build(state.position, state.quaternion, state.velocity, state.rates, (0.0, 0.0, height), 0.0)
            action, integral = guide.act(np.float32(seen)[None], integral)
            values = action[0].astype(float).tolist()
            thrust, rates = link.thrust_and_rates(values, SIH)
            if not floor and values[0] <= LEAST_COLLECTIVE:  # as before there was one
                thrust = 0.0
        plant.advance(thrust, rates, True, airmode=airmode)
        lowest = min(lowest, state.position[2])
    x, y, _, _ = plant.state.quaternion
    return lowest, math.degrees(math.acos(max(-1.0, 1 - 2 * (x * x + y * y)))), plant.hardest_touchdown


@pytest.mark.parametrize("degrees", [65, 90, 110])
def test_the_guide_recovers_from_the_side_at_three_metres_on_a_stock_px4(degrees):
    lowest, tilt, _ = recover(degrees)
    assert lowest > 1.0 and tilt < 10, (lowest, tilt)


def test_without_a_floor_for_the_thrust_it_falls_to_the_ground():
    lowest, _, touchdown = recover(90, floor=False)
    assert lowest <= 0.0 and touchdown > 5.0


def test_with_airmode_it_recovers_without_a_floor_too():
    lowest, tilt, _ = recover(90, floor=False, airmode=1)
    assert lowest > 0.5 and tilt < 10
