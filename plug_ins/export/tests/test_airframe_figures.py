"""Figures of airframes: known quadrotors and rate loops are among those that are drawn, and what is not is named."""

import dataclasses
import math

import numpy as np
import pytest

from spike_ctrl import airframe as airframes
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import GRAVITY, Airframe
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.sim.airframe_sampler import (
    LOGARITHMIC,
    LOOP_LOGARITHMIC,
    LOOP_UNIFORM,
    UNIFORM,
    AirframeRanges,
    draw_vehicle,
)
from spike_ctrl_export.airframe_figures import figures, outside, require_within

MOTORS = airframes.load("any_quad")
RATES = recipes.find("any_rates").task.airframes


def square(name, mass, inertia, arm, thrust_to_weight, yaw_reach, lag) -> Airframe:
    """A quadrotor by the figures that its builders published."""
    side, at_full = arm / math.sqrt(2), thrust_to_weight * mass * GRAVITY / 4
    return dataclasses.replace(
        MOTORS, name=name, mass=mass, inertia=inertia, rotor_x=(side, -side, -side, side),
        rotor_y=(-side, -side, side, side), thrust_curve=(0.0, 0.0, at_full), torque_per_thrust=yaw_reach, lag_up=lag,
        lag_down=lag, angular_drag=0.0,
    )  # fmt: skip


KNOWN = {
    # the paper's Crazyflie 2.1 and PX4's model of the Holybro X500, as config/airframes has them
    "crazyflie": airframes.load("crazyflie"),
    "x500": dataclasses.replace(airframes.load("x500"), action_layout="motors"),
    # Agilicious' Kingfisher: NeuroBEM (Bauersfeld et al. 2021) for mass and inertia, rotors at (.075, .1) m
    "agilicious": square("agilicious", 0.772, (2.5e-3, 2.1e-3, 4.3e-3), 0.125, 4.0, 0.016, 0.033),
    # a 5-inch frame of 220 mm (github.com/hhenryy/px4_matlab, constants.m), whose rotors are given a lag that is usual
    "five inch": square("five inch", 0.66, (1.326e-3, 0.93e-3, 1.95e-3), 0.11, 5.0, 7.997e-3, 0.03),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_quadrotor_could_have_been_drawn(name):
    assert outside(KNOWN[name]) == []


def test_each_factor_of_a_drawn_airframe_lies_in_its_range_and_reaches_both_ends():
    ranges = AirframeRanges()
    quadrotors = [draw_vehicle(ranges, MOTORS, 5, number, 1) for number in range(300)]
    for drawn in quadrotors:
        require_within(drawn.airframe)
        airframes.from_dict(airframes.to_dict(drawn.airframe))  # a file of it could be flown
    found = [figures(drawn.airframe) for drawn in quadrotors]
    for name in set(found[0]) - {"lag_down"}:
        low, high = getattr(ranges, name)
        values = np.array([one[name] for one in found])
        if name in LOGARITHMIC:
            low, high, values = np.log(low), np.log(high), np.log(values)
        shares = (values - low) / (high - low)
        assert shares.min() < 0.05 and shares.max() > 0.95 and abs(shares.mean() - 0.5) < 0.06, name
    drawn = {*LOGARITHMIC, *UNIFORM, *LOOP_LOGARITHMIC, *LOOP_UNIFORM}
    assert drawn | {"force", "weak", "trim"} == {f.name for f in dataclasses.fields(AirframeRanges)}


def test_an_airframe_outside_of_the_ranges_is_refused_by_its_first_figure():
    with pytest.raises(UsageError, match=r"^airframe crazyflie_real: thrust_to_weight: found 1.35, wanted 1.5 to 5$"):
        require_within(airframes.load("crazyflie_real"))


@pytest.mark.parametrize("name", ["sih_quadx", "x500", "racer", "any_rates"])
def test_a_known_rate_loop_could_have_been_drawn(name):
    assert outside(airframes.load(name), RATES) == []


def test_each_factor_of_a_drawn_rate_loop_lies_in_its_range_and_reaches_both_ends():
    plain = airframes.load("any_rates")
    loops = [draw_vehicle(RATES, plain, 5, number, 1) for number in range(300)]
    for drawn in loops:
        require_within(drawn.airframe, RATES)
        airframes.from_dict(airframes.to_dict(drawn.airframe))  # a file of it could be flown
    found = [figures(drawn.airframe) for drawn in loops]
    told = [drawn.airframe.thrust(drawn.hover) * 4 / (drawn.airframe.mass * GRAVITY) for drawn in loops]
    for name in [*(name for name in found[0] if name.startswith("loop_")), "told_thrust"]:
        low, high = getattr(RATES, name)
        values = np.array(told if name == "told_thrust" else [one[name] for one in found])
        if name in LOOP_LOGARITHMIC:
            low, high, values = np.log(low), np.log(high), np.log(values)
        shares = (values - low) / (high - low)
        assert shares.min() < 0.05 and shares.max() > 0.95 and abs(shares.mean() - 0.5) < 0.06, name
    assert {drawn.late for drawn in loops} == set(range(5))
