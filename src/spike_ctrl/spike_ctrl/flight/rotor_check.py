"""Whether one rotor gives other thrust than commanded, which one, and how much: layout `motors`. Pure.

What rates and velocity gain otherwise than by the commanded rotors is compared, in a memory of about .1 s, with what each
rotor would take away if it were gone: a torque about roll, pitch and yaw, and thrust. The thrust that the rotor which
explains it best lacks is by least squares. A torque that does not look like a rotor, of a gust or a lost link, is none.

A rotor that gives more than commanded is stuck at a speed. One that gives less is weak, until its thrust has stayed where
the commanded thrust has not. Share or speed of a rotor that was found are followed. Late commands look like a lost rotor
for a while: a rotor whose share vanishes was whole. While one is suspected, for a short time, and while one is lost, faults
are no news that a lost rotor brings about: the vehicle leans, spins and sinks.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from spike_ctrl._files.named_tuples import quickly_replaced
from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import GRAVITY, Airframe, rotor_speed
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
    compared: float = within(0.3, 0.05, 10.0, "Memory of thrusts, in which a weak rotor is told from a stuck one.", "s")
    moved: float = within(0.1, 0.0, 1.0, "Least spread of the commanded thrust for that, as a share of the hover's.", "")
    likelier: float = within(0.5, 0.01, 1.0, "Share of the other's squared error below which one is believed.", "")


class ToldRotors(NamedTuple):
    """What a guide is told of the rotors: the share of its thrust that each gives, their speeds (0 to 1), and the speeds at
    which they are stuck; negative: they obey.
    """

    effectiveness: Motors
    rotor_speed: Motors
    stuck: Motors


class LostRotor(NamedTuple):
    """number: of the rotor, in the airframe's order from 0 on. share: of its thrust, that it lacks; negative: it gives more.

    stuck: the speed, 0 to 1, that it keeps to; negative: it obeys.
    """

    number: int
    share: float
    stuck: float = -1.0

    def told(self, speeds: Motors) -> ToldRotors:
        """For the guide, with the speeds by the commands."""
        whole, obeys = (1.0, 1.0, 1.0, 1.0), (-1.0, -1.0, -1.0, -1.0)
        if self.stuck < 0:
            return ToldRotors(self._with(whole, 1.0 - self.share), speeds, obeys)
        return ToldRotors(whole, self._with(speeds, self.stuck), self._with(obeys, self.stuck))

    def _with(self, others: Motors, own: float) -> Motors:
        a, b, c, d = [own if n == self.number else other for n, other in enumerate(others)]
        return a, b, c, d

    @property
    def finding(self) -> Finding:
        """The fault."""
        weak, stuck = f"lacks {self.share:.0%} of its thrust", f"is stuck at {self.stuck:.0%} of its full speed"
        return Finding(Fault.ROTOR_LOST, f"rotor {self.number + 1} of 4 {weak if self.stuck < 0 else stuck}")


class Thrusts(NamedTuple):
    """Sums over time, in a memory: of 1 (s), a rotor's commanded thrust x and given thrust y (N), and their products."""

    time: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0
    yy: float = 0.0

    def after(self, x: float, y: float, dt: float, memory: float) -> "Thrusts":
        """With the thrusts of the last dt (s)."""
        kept = math.exp(-dt / memory)
        return Thrusts(*[kept * a + dt * b for a, b in zip(self, (1.0, x, y, x * x, x * y, y * y), strict=True)])

    def tells(self, least: float, moved: float, likelier: float) -> bool | None:
        """Whether it is stuck (y constant) and not weak (y a share of x); None: not known.

        It takes a time (s), for the thrust of a rotor that fails falls for a while, and a spread of x (N).
        """
        if self.time < least or self.xx / self.time - (self.x / self.time) ** 2 < moved * moved:
            return None
        weak, stuck = max(self.yy - self.xy**2 / self.xx, 0.0), max(self.yy - self.y**2 / self.time, 0.0)
        return True if stuck < likelier * weak else False if weak < likelier * stuck else None


@quickly_replaced
class RotorTrack(NamedTuple):
    """last: the state before. waiting: the last action. speeds: of the rotors, 0 to 1, by the actions.

    apart: gains of the rates (rad/s) and of the velocity along the body, weighted, otherwise than commanded and than the
    steady ones (1/s). given: of each rotor, commanded thrust times time (N s). suspect: by now, since the stamp `since` (s).
    thrusts: of the lost one.
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
    thrusts: Thrusts = Thrusts()

    def explains(self, limits: RotorLimits) -> bool:
        """Whether a rotor is lost, or suspected for no longer than others may wait."""
        return self.lost is not None or (self.suspect is not None and self._since_within(limits.waits))

    def _since_within(self, time: float) -> bool:
        return self.last is not None and self.last.stamp - self.since <= time

    def told(self, limits: RotorLimits) -> ToldRotors | None:
        """For the guide. None: all have been whole.

        It hears of a suspicion at once, for the vehicle turns by 200 rad/s^2; and for as long again that it has gone.
        """
        weak = self.lost or self.suspect
        if self.speeds is None or not (self.lost or self._since_within(2 * limits.waits)):
            return None
        if weak is None or not self.explains(limits) or (self.lost is None and abs(weak.share) < limits.lost):
            return LostRotor(-1, 0.0).told(self.speeds)
        return weak.told(self.speeds)

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
    if track.lost is not None:
        return _followed(track, track.lost, sample.stamp, dt, limits)
    if math.hypot(x, y, z) > limits.apart:
        # More failures are weak than stuck: a stuck rotor is believed where it leaves less unexplained than a weak one.
        by_rotor = [(*_lacks(track, n, limits), n) for n in range(4)]
        left, lacks, rotor = min(by_rotor, key=lambda by: by[0] if by[1] >= 0 else by[0] / limits.likelier)
        if left < 1 - limits.explained and abs(lacks) > limits.suspected * track.given[rotor]:
            known = track.suspect is not None and track.suspect.number == rotor
            since = track.since if known else sample.stamp - 2 * dt
            suspect, time = _suspect(track, rotor, lacks, sample.stamp - since, limits), sample.stamp - since
            gives_more = time >= limits.waits and suspect.share < -limits.whole  # as no healthy one does for so long
            certain = known and ((time >= limits.time and abs(suspect.share) > limits.lost) or gives_more)
            return track._replace(suspect=suspect, since=since, lost=suspect if certain else None, thrusts=Thrusts())
    return track if track.suspect is None else track._replace(suspect=None)


def _suspect(track: RotorTrack, rotor: int, lacks: float, time: float, limits: RotorLimits) -> LostRotor:
    """A rotor that has lacked this impulse (N s) for a time (s); where that is negative, it is stuck."""
    craft, memory = _craft(limits), limits.memory * -math.expm1(-time / limits.memory)
    given = track.given[rotor] / limits.memory
    share = lacks / memory / max(given, limits.least * craft.mass * GRAVITY / 4)
    stuck = -1.0 if share >= 0 else _speed(craft, given - lacks / memory)
    return LostRotor(rotor, min(share, 1.0), stuck)


def _followed(track: RotorTrack, lost: LostRotor, stamp: float, dt: float, limits: RotorLimits) -> RotorTrack:
    """Its share or speed learnt, and whether it is weak or stuck; without it, where it is whole after all."""
    craft = _craft(limits)
    level, memory = craft.mass * GRAVITY / 4, limits.memory * -math.expm1(-(stamp - track.since) / limits.memory)
    lacks, given = _lacks(track, lost.number, limits)[1] / memory, track.given[lost.number] / limits.memory
    thrusts = track.thrusts.after(given, given - lacks, dt, limits.compared)
    track, learnt = track._replace(thrusts=thrusts), -math.expm1(-dt / limits.learns)
    told = thrusts.tells(-limits.compared * math.expm1(-1), limits.moved * level, limits.likelier)
    if (lost.stuck >= 0) is (not told) and told is not None:
        stuck = _speed(craft, thrusts.y / thrusts.time) if told else -1.0
        return track._replace(lost=LostRotor(lost.number, min(1 - thrusts.xy / thrusts.xx, 1.0), stuck))
    if lost.stuck >= 0:
        stuck = _speed(craft, given - lacks)
        return track._replace(lost=lost._replace(stuck=lost.stuck + learnt * (stuck - lost.stuck)))
    if given < limits.least * level:
        return track
    share = lost.share + learnt * (lacks / given - lost.share)
    if share < limits.whole:
        return track._replace(lost=None, suspect=None, since=stamp)  # the guide hears of it for a while
    return track._replace(lost=lost._replace(share=min(share, 1.0)))


def _craft(limits: RotorLimits) -> Airframe:
    assert limits.turned is not None
    return limits.turned.craft


def _speed(craft: Airframe, thrust: float) -> float:
    """The speed, 0 to 1, at which a rotor gives this thrust (N)."""
    least, most = craft.thrust(0.0), craft.thrust(1.0)
    return min(max(float(rotor_speed(craft.thrust_curve, min(max(thrust, least), most))), 0.0), 1.0)


def _lacks(track: RotorTrack, rotor: int, limits: RotorLimits) -> tuple[float, float]:
    """Which share of the gain one rotor does not explain, and the impulse (N s) that it lacks; negative: it gives more."""
    craft = _craft(limits)
    taken = (
        -craft.rotor_y[rotor] / craft.inertia[0], craft.rotor_x[rotor] / craft.inertia[1],
        -craft.torque_per_thrust * craft.rotor_spin[rotor] / craft.inertia[2], -limits.thrust / craft.mass,
    )  # fmt: skip
    square, product = sum(t * t for t in taken), sum(t * a for t, a in zip(taken, track.apart, strict=True))
    return 1 - product * product / square / max(sum(a * a for a in track.apart), 1e-12), product / square
