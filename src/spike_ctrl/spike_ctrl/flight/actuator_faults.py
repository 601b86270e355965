"""Whether the vehicle turns as it is commanded, by rates or by motors: the check for faults of actuators and link. Pure.

Rates. A link that loses most commands keeps the autopilot from its loss time with the few that arrive, and between them it
flies old rates. So does a bridge that says what it does not send, and so it looks where a rotor is gone. What the vehicle
has turned otherwise than commanded is summed up, and forgotten within a third of a second. Where the sum is too large, no
command is sent any more: the autopilot's own net takes over then, whatever it hears. Where it is a pilot who has begun to
fly, silence is right.

The rates that commands should make follow them with one lag. No autopilot has just that one, so a share of what was
commanded is allowed as well. Beyond that share healthy flights reach .06 rad at most: 400 flights of three airframes, on
plants up to a fifth off, in wind and noise; and .04 rad in 19 on PX4 v1.17 in its own simulation. A vehicle cannot follow
all that is asked of it in a recovery, or by commands that jump from limit to limit: it is not judged then.

Motors. Old motor commands turn a vehicle over within .2 s, so a link that loses most of them, or brings them late, is worse
than where rates are commanded. Rotors follow a command with their lag, and their thrusts make a torque. What the body rates
have gained otherwise is summed up and soon forgotten. A steady torque that nobody commands, of a load or of weak rotors, is
learnt from what it does and does not count. No airframe is exactly as described, so a share of what was commanded is allowed
as well. Healthy flights reach 1.4 rad/s beyond that share, also where a torque of 15 rad/s^2 begins.

An autopilot flies the last motor commands until its loss time is over, so silence alone would let the vehicle turn on. It is
asked to hold with every state, and only if it does not hear that, commands end.
"""

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


@dataclass(frozen=True)
class RateResidualLimits:
    """fastest: rad/s that an action of 1 commands about each axis; None where actions command no rates."""

    fastest: tuple[float, ...] | None = None
    apart: float = within(0.15, 0.01, 100.0, "Largest turn in roll and pitch that was not commanded.", "rad")
    share: float = within(0.25, 0.0, 1.0, "Share of the commanded turn that is allowed in addition.", "")
    memory: float = within(0.3, 0.15, 10.0, "Time in which a turn is forgotten.", "s")
    lag: float = within(0.1, 0.001, 1.0, "Delay from a command to the body rates: link and rate loop.", "s")
    full: float = within(0.98, 0.5, 1.0, "From this size of an action on the turn is not judged: it is at its limit.", "")
    pause: float = within(0.15, 0.01, 10.0, "Longest pause of states; after a longer one the check starts anew.", "s")


class RateResidual(NamedTuple):
    """stamp: of the last state, s. expected: roll and pitch rate, rad/s. apart, commanded: the sums, rad."""

    stamp: float | None = None
    expected: Pair = (0.0, 0.0)
    apart: Pair = (0.0, 0.0)
    commanded: float = 0.0

    def beyond(self, share: float) -> float:
        """How far (rad) the vehicle has turned otherwise than commanded, less that share of what was commanded."""
        return math.hypot(*self.apart) - share * self.commanded


def follow_rates(
    track: RateResidual, sample: Sample, action: Motors | None, limits: RateResidualLimits
) -> tuple[RateResidual, Findings]:
    """After an accepted state. action: commanded since the one before; None where nobody commands rates."""
    if action is None or limits.fastest is None:
        return (track if track.stamp is None else RateResidual()), ()
    roll, pitch = sample.rates[:2]
    dt = 0.0 if track.stamp is None else sample.stamp - track.stamp
    if not 0 < dt <= limits.pause:
        return RateResidual(sample.stamp, (roll, pitch)), ()
    (a, b), (x, y), gained, kept = track.expected, track.apart, 1 - math.exp(-dt / limits.lag), 1 - dt / limits.memory
    p, q = action[1] * limits.fastest[0], action[2] * limits.fastest[1]
    a, b = a + gained * (p - a), b + gained * (q - b)
    judged = dt if max(abs(action[1]), abs(action[2])) < limits.full else 0.0
    x, y = x * kept + judged * (roll - a), y * kept + judged * (pitch - b)
    track = RateResidual(sample.stamp, (a, b), (x, y), track.commanded * kept + dt * math.hypot(p, q))
    if track.beyond(limits.share) <= limits.apart:
        return track, ()
    apart, most = math.hypot(x, y), limits.apart + limits.share * track.commanded
    detail = f"turned by {apart:.2f} rad otherwise than commanded, wanted at most {most:.2f} rad"
    return track, (Finding(Fault.COMMANDS_NOT_FLOWN, detail),)


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
    apart: float = within(1.7, 0.1, 1000.0, "Largest change of roll and pitch rate that was not commanded.", "rad/s")
    share: float = within(0.3, 0.0, 1.0, "Share of the commanded change of rates that is allowed in addition.", "")
    memory: float = within(0.1, 0.01, 10.0, "Time in which such a change is forgotten.", "s")
    learns: float = within(0.3, 0.01, 10.0, "Time in which a steady torque is learnt.", "s")
    late: float = within(0.01, 0.0, 1.0, "Delay of the link, in addition to the one state for which a command waits.", "s")
    pause: float = within(0.15, 0.01, 10.0, "Longest pause of states; after a longer one the check starts anew.", "s")
    waits: float = within(0.0, 0.0, 1.0, "Time for which it must last; not 0 where a lost rotor is looked for.", "s")


class TorqueResidual(NamedTuple):
    """stamp: of the last state, s. rates: rad/s. waiting: the last action. speeds: of the rotors, 0 to 1, by the actions.

    apart, commanded: the sums, rad/s. steady: rad/s^2, that nobody commands. All of roll and pitch. since: s, from when on
    they have been too far apart.
    """

    stamp: float | None = None
    rates: Pair = (0.0, 0.0)
    waiting: Motors | None = None
    speeds: Motors | None = None
    apart: Pair = (0.0, 0.0)
    steady: Pair = (0.0, 0.0)
    commanded: float = 0.0
    since: float | None = None

    def beyond(self, share: float) -> float:
        """How far (rad/s) the rates are apart from the commanded ones, less that share of what was commanded."""
        return math.hypot(*self.apart) - share * self.commanded


def follow_motors(
    track: TorqueResidual, sample: Sample, motors: Motors | None, limits: TorqueResidualLimits
) -> tuple[TorqueResidual, Findings]:
    """After an accepted state. motors: the action since the one before; None where nobody commands motors."""
    turned = limits.turned
    if motors is None or turned is None:
        return (track if track.stamp is None else TorqueResidual()), ()
    roll, pitch = sample.rates[:2]
    dt = 0.0 if track.stamp is None else sample.stamp - track.stamp
    if not 0 < dt <= limits.pause or track.waiting is None or track.speeds is None:
        mean = (sum(motors) / 4 + 1) / 2  # of the rotors' speeds that the action asks for: the time before is not known
        return TorqueResidual(sample.stamp, (roll, pitch), motors, (mean, mean, mean, mean)), ()
    kept, learnt = math.exp(-dt / limits.memory), -math.expm1(-dt / limits.learns)
    speeds = turned.after(track.speeds, track.waiting, dt, limits.late)
    (a, b), (c, d) = turned.by_rotors(speeds), turned.by_motion(sample)
    x = roll - track.rates[0] - (a + c) * dt
    y = pitch - track.rates[1] - (b + d) * dt
    u, v = track.steady
    apart = track.apart[0] * kept + x - u * dt, track.apart[1] * kept + y - v * dt
    steady = u + learnt * (x / dt - u), v + learnt * (y / dt - v)
    commanded = track.commanded * kept + dt * math.hypot(a, b)
    since = sample.stamp if track.since is None else track.since
    track = TorqueResidual(sample.stamp, (roll, pitch), motors, speeds, apart, steady, commanded)
    if track.beyond(limits.share) <= limits.apart:
        return track, ()
    track = track._replace(since=since)
    if sample.stamp - since < limits.waits:
        return track, ()
    most = limits.apart + limits.share * commanded
    detail = f"body rates gained {math.hypot(*apart):.1f} rad/s otherwise than commanded, wanted at most {most:.1f} rad/s"
    return track, (Finding(Fault.MOTORS_NOT_FLOWN, detail),)
