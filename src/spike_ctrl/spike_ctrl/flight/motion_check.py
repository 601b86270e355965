"""Whether the vehicle's place and motion are those of a flight under control: cage, braking, envelope. Pure.

The supervisor steps more often than states come. What was found of a motion is found of an equal one again.
"""

from __future__ import annotations

from typing import NamedTuple

from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight.faults import Findings
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.flight.wind_estimate import CALM, Wind


class JudgedMotion(NamedTuple):
    """The last accepted state, and what it is judged by.

    cage: as it lies over home, which a guide keeps; None: it does not count yet. room: where the autopilot must be able to
    stop the vehicle.
    guided: the guide has had its time to brake. point: the set-point, None where none is followed. ground: its height (m),
    None where it is unknown or near for good reason.
    """

    sample: Sample
    airborne: bool
    cage: Cage | None
    room: Cage | None
    guided: bool
    point: SetPoint | None
    ground: float | None
    wind: Wind = CALM

    def check(self, settings: FlightSettings) -> Findings:
        """The faults of cage and envelope."""
        found: Findings = ()
        if self.cage is not None:
            found = self.cage.check(self.sample.position, self.guided)
        if self.room is not None:
            found += self.room.check_braking(self.sample, settings.braking, self.cage if self.guided else None, self.wind)
        if self.airborne:
            found += settings.envelope.check(self.sample, self.point, self.ground)
        return found


class MotionCheck(NamedTuple):
    """A motion and its faults."""

    motion: JudgedMotion | None = None
    found: Findings = ()

    def after(self, motion: JudgedMotion, settings: FlightSettings) -> MotionCheck:
        """The check of the next motion."""
        return self if motion == self.motion else MotionCheck(motion, motion.check(settings))
