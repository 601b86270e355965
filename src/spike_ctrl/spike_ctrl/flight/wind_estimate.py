"""The wind as a horizontal acceleration, from what a vehicle does beyond where its rotors push it. Pure.

Rotors push along the body's z axis. They carry the weight, so they push sideways by g times the tangent of the tilt,
whatever mass and thrust are. What the velocity changes beyond that, and beyond the airframe's drag, is wind. It is averaged.

The autopilot begins to hold with empty integrals: it levels the vehicle, and the wind carries it on. Our vehicle is carried
by up to `Cage.wind_drift` times the wind, and already rests a little to the lee of its set-point. The keep-in box
shrinks by that distance on the downwind side (`Cage.in_wind`).
"""

from dataclasses import dataclass
from typing import NamedTuple

from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import GRAVITY
from spike_ctrl.flight.attitude import z_axis
from spike_ctrl.flight.state_checks import Sample


@dataclass(frozen=True)
class WindLimits:
    """How the wind is averaged."""

    memory: float = within(2.0, 0.1, 100.0, "Time over which the wind is averaged.", "s")
    upright: float = within(0.3, 0.01, 1.0, "Least vertical share of the body's z axis at which the wind is estimated.", "")
    pause: float = within(0.15, 0.01, 10.0, "Longest pause of states that the estimate bridges.", "s")
    drag: float = within(0.0, 0.0, 100.0, "Deceleration for each m/s that is drag, and no wind.", "1/s")


class Wind(NamedTuple):
    """m/s^2, towards east and north. known: s, for how long it has been averaged, at most the memory."""

    east: float = 0.0
    north: float = 0.0
    known: float = 0.0


CALM = Wind()


def follow(wind: Wind, last: Sample | None, sample: Sample, limits: WindLimits) -> Wind:
    """The wind after a state."""
    dt = 0.0 if last is None else sample.stamp - last.stamp
    if last is None or sample.reset_counter != last.reset_counter or not 0 < dt <= limits.pause:
        return wind
    east, north, up = z_axis(sample.quaternion)
    if up < limits.upright:
        return wind
    (u, v, c), (d, e, f) = sample.velocity, last.velocity
    lift = (GRAVITY + (c - f) / dt) / up
    east, north = (u - d) / dt - east * lift + limits.drag * u, (v - e) / dt - north * lift + limits.drag * v
    known = min(wind.known + dt, limits.memory)
    share = dt / known
    return Wind(wind.east + share * (east - wind.east), wind.north + share * (north - wind.north), known)
