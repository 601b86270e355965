"""Whether one rotor gives less thrust than commanded, which one, and how much: layout `motors`. Pure.

What rates and velocity gain otherwise than by the commanded rotors is compared, in a memory of about .1 s, with what each
rotor would take away if it were gone: a torque about roll, pitch and yaw, and thrust. The share of the rotor that explains
it best is by least squares. A torque that does not look like a rotor, of a gust or a lost link, is none.

The share of a rotor that was found is followed. Late commands look like a lost rotor for a while: a rotor whose share
vanishes was whole. While one is suspected, for a short time, and while one is lost, faults are no news that a lost rotor
brings about: the vehicle leans, spins and sinks.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from spike_ctrl._files.named_tuples import quickly_replaced
from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import GRAVITY
from spike_ctrl.flight.actuator_faults import Motors, Turned
from spike_ctrl.flight.attitude import rotate_back
from spike_ctrl.flight.faults import Fault, Finding, Findings
from spike_ctrl.flight.state_checks import Sample

BROUGHT_ABOUT = frozenset({
    Fault.MOTORS_NOT_FLOWN, Fault.ENVELOPE, Fault.CAGE_NEAR, Fault.CAGE_CLOSING, Fault.CAGE_LEFT, Fault.TAKE_OFF_FAILED,
    Fault.STATE_INCONSISTENT, Fault.ACTION_SATURATED, Fault.ACTION_STUCK, Fault.OSCILLATION, Fault.DISAGREEMENT,
})  # fmt: skip
"""Faults that a lost rotor brings about."""


@dataclass(frozen=True)
class RotorLimits:
    """turned: by whose motors; None where actions command rates. flown: the policy's contract says that it flies on."""

    turned: Turned | None = None
    flown: bool = False
    lost: float = within(0.2, 0.05, 1.0, "A rotor that lacks at least this share of its thrust counts as lost.", "")
    whole: float = within(0.1, 0.0, 1.0, "A rotor that was found and lacks less than this share is whole after all.", "")
    apart: float = within(0.6, 0.1, 1000.0, "Least change of body rates that is judged.", "rad/s")
    explained: float = within(0.95, 0.0, 1.0, "Share of that change that the lost rotor has to explain.", "")
    memory: float = within(0.1, 0.01, 10.0, "Time in which such a change is forgotten.", "s")
    time: float = within(0.08, 0.0, 1.0, "Time for which the same rotor must be suspected.", "s")
    suspected: float = within(0.04, 0.0, 1.0, "A rotor that lacks this share of its thrust over `memory` is suspected.", "")
    waits: float = within(0.15, 0.0, 1.0, "Longest time for which other faults wait for a suspicion.", "s")
    steady: float = within(0.4, 0.01, 100.0, "Time in which a steady torque is learnt, which is no rotor's fault.", "s")
    learns: float = within(0.1, 0.01, 10.0, "Time in which the share of a lost rotor is learnt.", "s")
    least: float = within(0.3, 0.0, 1.0, "Least share of the hover's thrust from which a loss is learnt.", "")
    thrust: float = within(5.0, 0.0, 100.0, "Weight of a change of velocity along the body against one of rates.", "rad/m")
    late: float = within(0.01, 0.0, 1.0, "Delay of the link, in addition to the one state for which a command waits.", "s")
    pause: float = within(0.15, 0.01, 10.0, "Longest pause of states; after a longer one the check starts anew.", "s")


class LostRotor(NamedTuple):
    """number: of the rotor, in the airframe's order from 0 on. share: of its thrust, that it lacks."""

    number: int
    share: float

    @property
    def effectiveness(self) -> Motors:
        """The share of its thrust that each rotor gives."""
        a, b, c, d = [1.0 - self.share if n == self.number else 1.0 for n in range(4)]
        return a, b, c, d

    @property
    def finding(self) -> Finding:
        """The fault."""
        return Finding(Fault.ROTOR_LOST, f"rotor {self.number + 1} of 4 lacks {self.share:.0%} of its thrust")


@quickly_replaced
class RotorTrack(NamedTuple):
    """last: the state before. waiting: the last action. speeds: of the rotors, 0 to 1, by the actions.

    apart: gains of the rates (rad/s) and of the velocity along the body, weighted, otherwise than commanded and than the
    steady ones (1/s). given: of each rotor, thrust times time (N s). suspect: by now, since the stamp `since` (s).
    """

    last: Sample | None = None
    waiting: Motors | None = None
    speeds: Motors | None = None
    apart: Motors = (0.0, 0.0, 0.0, 0.0)
    steady: Motors = (0.0, 0.0, 0.0, 0.0)
    given: Motors = (0.0, 0.0, 0.0, 0.0)
    suspect: LostRotor | None = None
    since: float = -math.inf
    lost: LostRotor | None = None

    def explains(self, limits: RotorLimits) -> bool:
        """Whether a rotor is lost, or suspected for no longer than others may wait."""
        return self.lost is not None or (self.suspect is not None and self._since_within(limits.waits))

    def _since_within(self, time: float) -> bool:
        return self.last is not None and self.last.stamp - self.since <= time

    def told(self, limits: RotorLimits) -> tuple[Motors, Motors] | None:
        """For the guide, the share of its thrust that each rotor gives, and their speeds. None: all have been whole.

        It hears of a suspicion at once, for the vehicle turns by 200 rad/s^2; and for as long again that it has gone.
        """
        weak = self.lost or self.suspect
        if self.speeds is None or not (self.lost or self._since_within(2 * limits.waits)):
            return None
        if weak is None or not self.explains(limits) or (self.lost is None and weak.share < limits.lost):
            return (1.0, 1.0, 1.0, 1.0), self.speeds
        return weak.effectiveness, self.speeds

    def sift(self, found: Findings, limits: RotorLimits) -> Findings:
        """The faults without those that a lost or suspected rotor brings about."""
        if not found or not self.explains(limits):
            return found
        return tuple([finding for finding in found if finding.fault not in BROUGHT_ABOUT])


def follow_rotors(track: RotorTrack, sample: Sample, motors: Motors | None, limits: RotorLimits) -> RotorTrack:
    """After an accepted state. motors: the action since the one before; None where nobody commands motors."""
    if motors is None or limits.turned is None:
        return track if track.last is None else RotorTrack(lost=track.lost)
    last, craft = track.last, limits.turned.craft
    dt = 0.0 if last is None else sample.stamp - last.stamp
    if last is None or track.waiting is None or track.speeds is None or not 0 < dt <= limits.pause:
        mean = (sum(motors) / 4 + 1) / 2
        return RotorTrack(sample, motors, (mean, mean, mean, mean), lost=track.lost)
    speeds, kept = limits.turned.after(track.speeds, track.waiting, dt, limits.late), math.exp(-dt / limits.memory)
    thrusts = [craft.thrust(speed) for speed in speeds]
    (jx, jy, jz), (roll, pitch) = craft.inertia, limits.turned.by_rotors(speeds)
    p, q, r = [(a + b) / 2 for a, b in zip(sample.rates, last.rates, strict=True)]
    rolled, pitched = limits.turned.by_motion(sample._replace(rates=(p, q, r)))
    turning = craft.torque_per_thrust * sum(s * f for s, f in zip(craft.rotor_spin, thrusts, strict=True))
    angular = roll + rolled, pitch + pitched, (turning + (jx - jy) * p * q - craft.angular_drag * r) / jz
    vx, vy, vz = (a - b for a, b in zip(sample.velocity, last.velocity, strict=True))
    along = rotate_back(last.quaternion, (vx, vy, vz + GRAVITY * dt))[2] - sum(thrusts) / craft.mass * dt
    gained = [a - b - c * dt for a, b, c in zip(sample.rates, last.rates, angular, strict=True)] + [limits.thrust * along]
    learnt = 0.0 if track.suspect is not None or track.lost is not None else -math.expm1(-dt / limits.steady)
    x, y, z, w = [kept * a + g - s * dt for a, g, s in zip(track.apart, gained, track.steady, strict=True)]
    p, q, r, s = [before + learnt * (g / dt - before) for before, g in zip(track.steady, gained, strict=True)]
    a, b, c, d = [kept * before + thrust * dt for before, thrust in zip(track.given, thrusts, strict=True)]
    track = track._replace(
        last=sample, waiting=motors, speeds=speeds, apart=(x, y, z, w), steady=(p, q, r, s), given=(a, b, c, d)
    )
    if (lost := track.lost) is not None:
        if track.given[lost.number] < limits.least * limits.memory * craft.mass * GRAVITY / 4:
            return track
        share = _share(track, lost.number, limits, sample.stamp - track.since)[1]
        share = lost.share - math.expm1(-dt / limits.learns) * (share - lost.share)
        if share < limits.whole:
            return track._replace(lost=None, suspect=None, since=sample.stamp)  # the guide hears of it for a while
        return track._replace(lost=lost._replace(share=min(share, 1.0)))
    if math.hypot(x, y, z) > limits.apart:
        (best, share), rotor = max((_share(track, n, limits), n) for n in range(4))
        if best > limits.explained and share > limits.suspected:
            known = track.suspect is not None and track.suspect.number == rotor
            since = track.since if known else sample.stamp - 2 * dt
            suspect = LostRotor(rotor, min(_share(track, rotor, limits, sample.stamp - since)[1], 1.0))
            certain = known and sample.stamp - since >= limits.time and suspect.share > limits.lost
            return track._replace(suspect=suspect, since=since, lost=suspect if certain else None)
    return track if track.suspect is None else track._replace(suspect=None)


def _share(track: RotorTrack, rotor: int, limits: RotorLimits, time: float = math.inf) -> tuple[float, float]:
    """How much of the gain the loss of a rotor explains, and which share of its thrust it has lacked for that time (s)."""
    assert limits.turned is not None
    craft, impulse = limits.turned.craft, track.given[rotor] * -math.expm1(-time / limits.memory)
    taken = (
        -craft.rotor_y[rotor] / craft.inertia[0] * impulse, craft.rotor_x[rotor] / craft.inertia[1] * impulse,
        -craft.torque_per_thrust * craft.rotor_spin[rotor] / craft.inertia[2] * impulse,
        -limits.thrust / craft.mass * impulse,
    )  # fmt: skip
    square, product = sum(t * t for t in taken), sum(t * a for t, a in zip(taken, track.apart, strict=True))
    if product <= 0:
        return 0.0, 0.0
    return product * product / square / max(sum(a * a for a in track.apart), 1e-12), product / square
