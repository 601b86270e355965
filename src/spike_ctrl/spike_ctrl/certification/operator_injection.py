"""What an operator or a pilot does at a bad moment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from spike_ctrl.certification.injected_fault import InjectedFault
from spike_ctrl.certification.virtual_clock import VirtualClock
from spike_ctrl.control.trajectory import SetPoint, Trajectory
from spike_ctrl.flight.request import Request
from spike_ctrl.px4.dialect import PX4Mode
from spike_ctrl.simulated_px4.vehicle import Vehicle

PERIOD = 0.05  # s between two set-points of a stream
_REQUESTS = {
    "disengages": Request.DISENGAGE,
    "lands": Request.LAND,
    "takes_guide": Request.GUIDE,
    "shuts_down": Request.SHUT_DOWN,
}
_MODES = {
    "pilot_holds": PX4Mode.AUTO_LOITER,
    "pilot_lands": PX4Mode.AUTO_LAND,
    "pilot_returns": PX4Mode.AUTO_RTL,
}


class Operated(Protocol):
    """A flight that an operator can reach."""

    clock: VirtualClock
    vehicle: Vehicle
    requests: list[Request]
    target: SetPoint | Trajectory | None

    def request_mode(self, mode: PX4Mode) -> None:
        """The autopilot is asked for a mode."""

    def stream(self, point: SetPoint) -> None:
        """One set-point of a stream."""


class OperatorInjection:
    """The faults of the operator of one flight."""

    def __init__(self, faults: Sequence[InjectedFault]):
        self.faults = faults

    def plan(self, flight: Operated) -> None:
        """Let them happen in this flight."""
        for fault in self.faults:
            flight.clock.at(fault.at, self._happen, fault, flight)

    def _happen(self, fault: InjectedFault, flight: Operated) -> None:
        if (request := _REQUESTS.get(fault.kind)) is not None:
            flight.requests.append(request)
        elif (mode := _MODES.get(fault.kind)) is not None:
            flight.request_mode(mode)
        elif fault.kind == "battery_fails":
            flight.vehicle.battery.working = False
        elif fault.kind == "far_set_point":
            flight.target = SetPoint(_beyond(flight.vehicle, fault, fault.size))
        else:
            self._stream(fault, flight, flight.vehicle.estimate.position)

    def _stream(self, fault: InjectedFault, flight: Operated, begin: tuple[float, float, float]) -> None:
        """A stream that runs through the wall, or is not finite; then it stops."""
        now = flight.clock.now
        if now >= fault.until:
            return
        flight.clock.at(now + PERIOD, self._stream, fault, flight, begin)
        x, y, z = fault.direction
        a, b, c = (p + d * fault.size * (now - fault.at) for p, d in zip(begin, fault.direction, strict=True))
        velocity = (x * fault.size, y * fault.size, z * fault.size)
        if fault.kind == "stream_not_finite":
            a = math.nan
        flight.stream(SetPoint((a, b, c), velocity, math.pi / 2))


def _beyond(vehicle: Vehicle, fault: InjectedFault, length: float) -> tuple[float, float, float]:
    x, y, z = (p + length * d for p, d in zip(vehicle.estimate.position, fault.direction, strict=True))
    return x, y, z
