"""Whether a vehicle whose motors are commanded gains the rates that those commands give. Pure.

Old motor commands turn a vehicle over within .2 s, so a link that loses most of them, or brings them late, is worse here
than where rates are commanded (rate_residual.py). Rotors follow a command with their lag, and their thrusts make a torque.
What the body rates have gained otherwise is summed up and soon forgotten. A steady torque that nobody commands, of a load or
of weak rotors, is learnt from what it does and does not count. No airframe is exactly as described, so a share of what was
commanded is allowed as well. Healthy flights reach 1.4 rad/s beyond that share, also where a torque of 15 rad/s^2 begins.

An autopilot flies the last motor commands until its loss time is over, so silence alone would let the vehicle turn on. It is
asked to hold with every state, and only if it does not hear that, commands end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import Airframe
from spike_ctrl.flight.attitude import rotate_back
from spike_ctrl.flight.faults import Fault, Finding, Findings
from spike_ctrl.flight.state_checks import Sample

Pair = tuple[float, float]
Motors = tuple[float, float, float, float]


class Turned(NamedTuple):
    """What an airframe makes of motor commands and of motion, about roll and pitch."""

    craft: Airframe

    def after(self, speeds: Motors, motors: Motors, dt: float, late: float) -> Motors:
        """The rotors' speeds (0 to 1) a time dt (s) later, if an action reaches them `late` (s)."""
        up, down = -math.expm1(-dt / (self.craft.lag_up + late)), -math.expm1(-dt / (self.craft.lag_down + late))
        a, b, c, d = [
            speed + (up if (wanted := (action + 1) / 2) > speed else down) * (wanted - speed)
            for speed, action in zip(speeds, motors, strict=True)
        ]
        return a, b, c, d

    def by_rotors(self, speeds: Motors) -> Pair:
        """Angular accelerations (rad/s^2) by the rotors' thrusts."""
        craft, roll, pitch = self.craft, 0.0, 0.0
        for speed, x, y in zip(speeds, craft.rotor_x, craft.rotor_y, strict=True):
            thrust = craft.thrust(speed)
            roll, pitch = roll + y * thrust, pitch - x * thrust
        return roll / craft.inertia[0], pitch / craft.inertia[1]

    def by_motion(self, sample: Sample) -> Pair:
        """Angular accelerations (rad/s^2) by the velocity, the drag of turning, and the gyroscopic torque."""
        (jx, jy, jz), (p, q, r), (kx, ky) = self.craft.inertia, sample.rates, self.craft.velocity_moment
        drag = self.craft.angular_drag
        roll, pitch = ((jy - jz) * q * r - drag * p) / jx, ((jz - jx) * r * p - drag * q) / jy
        if kx or ky:
            forward, left, _ = rotate_back(sample.quaternion, sample.velocity)
            roll, pitch = roll + kx * left / jx, pitch - ky * forward / jy
        return roll, pitch


@dataclass(frozen=True)
class TorqueResidualLimits:
    """turned: by whose motors; None where actions command rates."""

    turned: Turned | None = None
    apart: float = within(1.7, 0.1, 1000.0, "Largest gain of rates otherwise than commanded, of roll and pitch.", "rad/s")
    share: float = within(0.3, 0.0, 1.0, "Share of the commanded change of rates that is allowed beside it.", "")
    memory: float = within(0.1, 0.01, 10.0, "Time in which a gain is forgotten.", "s")
    learns: float = within(0.3, 0.01, 10.0, "Time in which a steady torque is learnt.", "s")
    late: float = within(0.01, 0.0, 1.0, "Of the link, beside the one state for which a command waits.", "s")
    pause: float = within(0.15, 0.01, 10.0, "After a longer pause of states nothing is known of what happened in it.", "s")


class TorqueResidual(NamedTuple):
    """stamp: of the last state, s. rates: rad/s. waiting: the last action. speeds: of the rotors, 0 to 1, by the actions.

    apart, commanded: the sums, rad/s. steady: rad/s^2, that nobody commands. All of roll and pitch.
    """

    stamp: float | None = None
    rates: Pair = (0.0, 0.0)
    waiting: Motors | None = None
    speeds: Motors | None = None
    apart: Pair = (0.0, 0.0)
    steady: Pair = (0.0, 0.0)
    commanded: float = 0.0

    def beyond(self, share: float) -> float:
        """How far (rad/s) the rates are apart from the commanded ones, less that share of what was commanded."""
        return math.hypot(*self.apart) - share * self.commanded


def follow(
    track: TorqueResidual, sample: Sample, motors: Motors | None, limits: TorqueResidualLimits
) -> tuple[TorqueResidual, Findings]:
    """After an accepted state. motors: the action since the one before; None where nobody commands motors."""
    turned = limits.turned
    if motors is None or turned is None:
        return (track if track.stamp is None else TorqueResidual()), ()
    roll, pitch = sample.rates[:2]
    dt = 0.0 if track.stamp is None else sample.stamp - track.stamp
    if not 0 < dt <= limits.pause or track.waiting is None or track.speeds is None:
        return TorqueResidual(sample.stamp, (roll, pitch), motors, _speeds(motors)), ()
    kept, learnt = math.exp(-dt / limits.memory), -math.expm1(-dt / limits.learns)
    speeds = turned.after(track.speeds, track.waiting, dt, limits.late)
    (a, b), (c, d) = turned.by_rotors(speeds), turned.by_motion(sample)
    x = roll - track.rates[0] - (a + c) * dt
    y = pitch - track.rates[1] - (b + d) * dt
    u, v = track.steady
    apart = track.apart[0] * kept + x - u * dt, track.apart[1] * kept + y - v * dt
    steady = u + learnt * (x / dt - u), v + learnt * (y / dt - v)
    commanded = track.commanded * kept + dt * math.hypot(a, b)
    track = TorqueResidual(sample.stamp, (roll, pitch), motors, speeds, apart, steady, commanded)
    if track.beyond(limits.share) <= limits.apart:
        return track, ()
    most = limits.apart + limits.share * commanded
    detail = f"body rates gained {math.hypot(*apart):.1f} rad/s otherwise than commanded, wanted at most {most:.1f} rad/s"
    return track, (Finding(Fault.MOTORS_NOT_FLOWN, detail),)


def _speeds(motors: Motors) -> Motors:
    """The rotors' speeds, 0 to 1, that an action asks for: their mean, as nothing is known of the time before."""
    mean = (sum(motors) / 4 + 1) / 2
    return mean, mean, mean, mean
