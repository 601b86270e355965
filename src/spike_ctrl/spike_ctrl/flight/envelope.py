"""The flight envelope: the largest tilt, body rate, speed and error, and the lowest height, of a flight under control."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import GRAVITY
from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight.attitude import tilt
from spike_ctrl.flight.faults import Fault, Finding, Findings
from spike_ctrl.flight.state_checks import Sample


@dataclass(frozen=True)
class Envelope:
    """Limits of a flight under control. Beyond them the guide recovers; then the autopilot holds."""

    tilt: float = within(math.radians(50), 0.1, math.pi, "Largest tilt.", "rad")
    rate: float = within(12.0, 0.5, 100.0, "Largest body rate.", "rad/s")
    speed: float = within(5.0, 0.1, 50.0, "Largest speed.", "m/s")
    error: float = within(4.0, 0.1, 100.0, "Largest distance from the set-point.", "m")
    catching: float = within(7.0, 0.1, 50.0, "Least deceleration of a fall.", "m/s^2")
    catch_share: float = within(0.7, 0.01, 1.0, "Share of the spare thrust that slows a fall.", "")
    catch_time: float = within(0.12, 0.0, 10.0, "Time until guide or autopilot have taken over a falling vehicle.", "s")
    crash_height: float = within(0.15, 0.0, 10.0, "Least height above the ground of a vehicle that flies.", "m")
    tumbling: float = within(1.3, 1.0, 10.0, "Beyond this multiple of largest tilt or rate the vehicle tumbles.", "")
    # A guide that commands motors closes the loop of the attitude over the link, later than the autopilot's own.
    guided: float = within(100.0, 0.0, 1000.0, "Beyond this share of tilt or rate HOLD follows, not GUIDE.", "")
    settled_tilt: float = within(3.0, 1.0, 100.0, "A recovery is over below the largest tilt divided by this.", "")
    settled_motion: float = within(5.0, 1.0, 100.0, "A recovery is over below rate and speed divided by this.", "")
    trajectory: float = within(0.8, 0.1, 1.0, "Share of tilt and speed that a trajectory may ask for.", "")
    reachable: float = within(0.9, 0.1, 1.0, "Largest distance from a new set-point, as a share of `error`.", "")

    @classmethod
    def of(cls, thrust_to_weight: float) -> Envelope:
        """That of a vehicle: a weak one slows its fall less than others do."""
        usual = cls()
        return replace(usual, catching=min(usual.catching, usual.catch_share * (thrust_to_weight - 1) * GRAVITY))

    @property
    def trajectory_limits(self) -> tuple[float, float]:
        """Tilt (rad) and speed (m/s) that a trajectory may ask for. The rest is left for corrections."""
        return self.trajectory * self.tilt, self.trajectory * self.speed

    @property
    def reach(self) -> float:
        """Largest distance (m) of the vehicle from a new set-point."""
        return self.reachable * self.error

    def check(self, sample: Sample, target: SetPoint | None, ground: float | None = None) -> Findings:
        """The limit that an airborne vehicle exceeds most.

        target: the set-point, None where none is followed. ground: its height (m), None where it is unknown.
        """
        if ground is not None and (falling := self._check_fall(sample, ground)):
            return falling
        tilted, rate, speed = tilt(sample.quaternion), math.hypot(*sample.rates), math.hypot(*sample.velocity)
        error = 0.0 if target is None else math.dist(sample.position, target.position)
        if tilted <= self.tilt and rate <= self.rate and speed <= self.speed and error <= self.error:
            return ()
        values = (
            ("tilt", tilted, self.tilt, "rad"),
            ("body rate", rate, self.rate, "rad/s"),
            ("speed", speed, self.speed, "m/s"),
            ("error", error, self.error, "m"),
        )
        name, value, limit, unit = max(values, key=lambda item: item[1] / item[2])
        return (Finding(Fault.ENVELOPE, f"{name} is {value:.2f} {unit}, wanted at most {limit:.2f}"),)

    def is_upset(self, sample: Sample, share: float = 1.0) -> bool:
        """Whether tilt or body rate is beyond that share of its limit."""
        return tilt(sample.quaternion) > share * self.tilt or math.hypot(*sample.rates) > share * self.rate

    def is_settled(self, sample: Sample) -> bool:
        """Whether a recovery is over: body rate, speed and tilt are small.

        In wind no vehicle hovers level, so the tilt has more room.
        """
        return (
            tilt(sample.quaternion) < self.tilt / self.settled_tilt
            and math.hypot(*sample.rates) < self.rate / self.settled_motion
            and math.hypot(*sample.velocity) < self.speed / self.settled_motion
        )

    def near_ground(self, sample: Sample, ground: float | None) -> bool:
        """Whether it is hardly higher than one that stands, on ground at this height (m); None: it may lie anywhere."""
        return ground is None or sample.position[2] < ground + 2 * self.crash_height

    def _check_fall(self, sample: Sample, ground: float) -> Findings:
        """Whether the vehicle is too low to be caught above the ground, which lies at this height (m)."""
        height, sinking = sample.position[2] - ground, max(-sample.velocity[2], 0.0)
        wanted = self.crash_height + self.catch_time * sinking + sinking**2 / (2 * self.catching)
        if height >= wanted:
            return ()
        detail = f"height is {height:.2f} m and falls at {sinking:.2f} m/s, wanted at least {wanted:.2f} m"
        return (Finding(Fault.ENVELOPE, detail),)
