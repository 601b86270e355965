"""The simulated vehicle in wind: PX4's parameters of its own simulation, which may change in flight.

- wind from north pushes to the south and wind from east to the west, by the linear drag; carried along, it pushes no more
- wind that has ended pushes no more
- a vehicle that holds its place in wind keeps it when it is told to land: PX4's modes share what they have integrated
"""

import pytest

from spike_ctrl import airframe
from spike_ctrl.px4.dialect import PX4Mode
from spike_ctrl.px4.parameter_rules import hover_thrust
from spike_ctrl.simulated_px4.cascade import RateCommand
from spike_ctrl.simulated_px4.vehicle import Vehicle

CRAFT = airframe.load("sih_quadx")


def hovering(**parameters):
    vehicle = Vehicle(CRAFT, parameters=parameters, noise=0.0)
    vehicle.begin_in_the_air((0.0, 0.0, 50.0))
    return vehicle


def fly(vehicle, seconds):
    """Level and with the thrust of a hover."""
    end = vehicle.now + seconds
    while vehicle.now < end:
        vehicle.take(RateCommand(hover_thrust(CRAFT), (0.0, 0.0, 0.0)))
        vehicle.tick()
    return vehicle.truth


@pytest.mark.parametrize(("parameter", "axis"), [("SIH_WIND_N", 1), ("SIH_WIND_E", 0)])
def test_wind_pushes_away_from_where_it_comes_until_the_vehicle_flies_with_it(parameter, axis):
    vehicle = hovering(**{parameter: 3.0})
    soon = fly(vehicle, 0.2).velocity
    pushed = -3.0 * CRAFT.linear_drag / CRAFT.mass * 0.2
    assert soon[axis] == pytest.approx(pushed, rel=0.15) and abs(soon[1 - axis]) < 0.02
    assert fly(vehicle, 8.0).velocity[axis] == pytest.approx(-3.0, rel=0.05)


def test_wind_that_has_ended_pushes_no_more():
    vehicle = hovering(SIH_WIND_N=3.0)
    fly(vehicle, 0.2)
    vehicle.parameters.set("SIH_WIND_N", 0.0)
    before = vehicle.truth.velocity[1]
    after = fly(vehicle, 0.5).velocity[1]
    assert before < 0 and before < after < 0.6 * before + 0.01  # its own drag brakes it


def test_what_holds_it_in_wind_is_kept_from_hold_to_land():
    vehicle = hovering(SIH_WIND_N=4.0)
    for mode, seconds in ((PX4Mode.AUTO_LOITER, 12.0), (PX4Mode.AUTO_LAND, 6.0)):
        vehicle.commander.request_mode(mode, vehicle.seen)
        begun = vehicle.truth.position
        fly(vehicle, seconds)
    moved = [after - before for after, before in zip(vehicle.truth.position, begun, strict=True)]
    assert abs(moved[1]) < 0.1 and moved[2] < -1.0
