"""What the operator does in a certified flight: the aims, and what an operator or a pilot does at a bad moment."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from spike_ctrl.certification.injected_fault import InjectedFault
from spike_ctrl.control.trajectory import SetPoint, Trajectory
from spike_ctrl.flight.request import Request
from spike_ctrl.px4.dialect import PX4Mode

if TYPE_CHECKING:
    from spike_ctrl.certification.flight_core import FlightCore

STREAM_PERIOD = 0.05  # s
_ASKED = {
    "disengages": Request.DISENGAGE,
    "lands": Request.LAND,
    "takes_guide": Request.GUIDE,
    "shuts_down": Request.SHUT_DOWN,
    "pilot_holds": PX4Mode.AUTO_LOITER,
    "pilot_lands": PX4Mode.AUTO_LAND,
    "pilot_returns": PX4Mode.AUTO_RTL,
}


def give_aims(flight: FlightCore, late: float) -> None:
    """All aims, `late` (s) after their times. From the ground they wait for the policy, as an operator does."""
    aims = flight.scenario.aims
    for aim, until in zip(aims, (*(later.at + late for later in aims[1:]), math.inf), strict=False):
        act = stream_along if aim.streamed else _aim
        flight.clock.at(aim.at + late, act, flight, aim.course, aim.at + late, until)


def _aim(flight: FlightCore, course: SetPoint | Trajectory, at: float, until: float) -> None:
    flight.target = course


def stream_along(flight: FlightCore, course: SetPoint, at: float, until: float) -> None:
    """A stream of set-points from `at` until `until` (s), along a course by its velocity; then it stops."""
    now = flight.clock.now
    if now + STREAM_PERIOD < until:
        flight.clock.at(now + STREAM_PERIOD, stream_along, flight, course, at, until)
    x, y, z = (p + v * (now - at) for p, v in zip(course.position, course.velocity, strict=True))
    flight.stream(course._replace(position=(x, y, z)))


def operate(fault: InjectedFault, flight: FlightCore) -> None:
    """What an operator or a pilot does, at the time at which the fault begins."""
    asked, (x, y, z), (u, v, w) = _ASKED.get(fault.kind), flight.vehicle.estimate.position, fault.direction
    size = fault.size
    if isinstance(asked, Request):
        flight.requests.append(asked)
    elif isinstance(asked, PX4Mode):
        flight.request_mode(asked)
    elif fault.kind == "many_requests":
        dice, at = np.random.default_rng(fault.seed), fault.at
        for _ in range(round(size)):
            some = (*Request, *_ASKED.values())[dice.integers(len(Request) + len(_ASKED))]
            flight.clock.at(at, flight.requests.append if isinstance(some, Request) else flight.request_mode, some)
            at += float(dice.uniform(0.05, 1.0))
    elif fault.kind == "battery_fails":
        flight.vehicle.battery.working = False
    elif fault.kind == "far_set_point":
        flight.target = SetPoint((x + size * u, y + size * v, z + size * w))
    else:  # a stream that runs through the wall, or is not finite
        begin = (math.nan if fault.kind == "stream_not_finite" else x, y, z)
        stream_along(flight, SetPoint(begin, (u * size, v * size, w * size), math.pi / 2), fault.at, fault.until)
