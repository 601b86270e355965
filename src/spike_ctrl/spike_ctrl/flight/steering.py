"""Whether a vehicle is steered towards its set-point by the guide or policy that flies it. Pure.

The other one, in shadow, is a witness, and the vehicle's motion is the judge: whoever is faulty in shadow changes none. Any
sound controller accelerates to the set-point and to its velocity. The tilt tells the acceleration to the side, but for wind
and drag: wind that turns is nobody's doing. Up and down the speed tells it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import GRAVITY
from spike_ctrl.control.trajectory import SetPoint, Vector
from spike_ctrl.flight.answer_checks import Action, Answer, collective
from spike_ctrl.flight.attitude import z_axis
from spike_ctrl.flight.faults import Fault, Finding, Findings
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.flight.wind_estimate import Wind


@dataclass(frozen=True)
class SteeringLimits:
    """What a sound controller does, and when a guide is none. Healthy guides reach 3.4 m/s^2."""

    stiffness: float = within(5.8, 0.0, 100.0, "Expected acceleration for each metre to the set-point.", "1/s^2")
    damping: float = within(4.3, 0.0, 100.0, "Expected deceleration for each m/s beside the set-point's velocity.", "1/s")
    reach: float = within(1.0, 0.01, 100.0, "Largest distance to the set-point that counts, per axis.", "m")
    upright: float = within(0.3, 0.01, 1.0, "Least vertical share of the body's z axis that counts.", "")
    fastest: float = within(20.0, 1.0, 1000.0, "Speed that is gained faster, per axis, is the estimator's doing.", "m/s^2")
    answers: int = within(8, 1, 1000, "Answers over which the unexpected acceleration is averaged.", "")
    astray: float = within(4.6, 0.1, 100.0, "Largest mean unexpected acceleration of the guide, to the side.", "m/s^2")
    level: float = within(0.4, 0.01, 10.0, "Largest `astray`, as a share of the largest level acceleration.", "")
    narrow: float = within(3.0, 0.1, 100.0, "Largest `astray` for each m from the cage's middle to a side wall.", "1/s^2")
    sinking: float = within(4.8, 0.1, 100.0, "Largest mean unexpected acceleration of the guide, up and down.", "m/s^2")
    leaping: float = within(8.0, 0.1, 100.0, "The same up, in a take-off: a light vehicle leaps off the ground.", "m/s^2")
    away: float = within(9.5, 0.1, 100.0, "The same of the vehicle, to the side, whatever the policy says.", "m/s^2")
    flown: float = within(1.3, 1.0, 100.0, "A policy that flies is blamed from so many times `astray` on.", "")
    apart: float = within(0.3, 0.0, 2.0, "Who is in shadow objects if the actions differ by more.", "")
    led: float = within(1.7, 0.0, 100.0, "A guide is blamed for a wall if its mean times the difference is larger.", "m/s^2")
    led_upright: float = within(2.0, 0.0, 100.0, "A guide is blamed for a wall if its mean up or down is larger.", "m/s^2")

    @classmethod
    def of(cls, thrust_to_weight: float) -> SteeringLimits:
        """Those of a vehicle: a weak one is steered less by any guide, and wins less back."""
        usual = cls()
        return replace(usual, astray=min(usual.astray, usual.level * GRAVITY * math.sqrt(thrust_to_weight**2 - 1)))


class Astray(NamedTuple):
    """The mean acceleration (m/s^2, world) otherwise than towards the set-point.

    leans: to the side as tilt, wind and drag tell it, up as the speed does. moves: to the side as the speed does, which wind
    changes, and a guide that flies on a wrong yaw as well. state: the last one that was answered.
    """

    leans: Vector = (0.0, 0.0, 0.0)
    moves: tuple[float, float] = (0.0, 0.0)
    state: Sample | None = None


def follow(astray: Astray, sample: Sample, point: SetPoint, wind: Wind, drag: float, limits: SteeringLimits) -> Astray:
    """After a state that the guide answered. The first one, and one after a reset of the estimator, tells nothing.

    drag: of the vehicle, 1/s.
    """
    before = astray.state
    if before is None or sample.stamp <= before.stamp or sample.reset_counter != before.reset_counter:
        return astray._replace(state=sample)
    dt, n, speeds = sample.stamp - before.stamp, limits.answers, zip(sample.velocity, before.velocity, strict=True)
    gained = [min(max((now - then) / dt, -limits.fastest), limits.fastest) for now, then in speeds]
    (x, y, z), (u, v, _) = z_axis(sample.quaternion), sample.velocity
    lift = GRAVITY / max(z, limits.upright)
    leaned = x * lift + wind.east - drag * u, y * lift + wind.north - drag * v, gained[2]
    k, d, reach = limits.stiffness, limits.damping, limits.reach
    here, there = (sample.position, sample.velocity), (point.position, point.velocity)
    due = [k * min(max(p - q, -reach), reach) + d * (u - v) for p, u, q, v in zip(*here, *there, strict=True)]
    a, b, c = (was + (now + owed - was) / n for was, now, owed in zip(astray.leans, leaned, due, strict=True))
    e, f = (was + (now + owed - was) / n for was, now, owed in zip(astray.moves, gained[:2], due[:2], strict=True))
    return Astray((a, b, c), (e, f), sample)


def check_policy(astray: Astray, apart: Action, limits: SteeringLimits) -> Findings:
    """Whether the policy that flies steers astray, and the guide objects. apart: the mean difference of their actions.

    The guide flies then: the vehicle's motion tells that the policy is the one that is wrong.
    """
    found, most = math.hypot(*astray.leans[:2]), limits.flown * limits.astray
    if found <= most or max(apart) <= limits.apart:
        return ()
    detail = f"unexpected acceleration by the policy: found {found:.1f} m/s^2, wanted at most {most:.1f}; the guide differs"
    return (Finding(Fault.OFF_SET_POINT, detail),)


def led(astray: Astray, apart: float, guide: Answer | None, policy: Answer | None, limits: SteeringLimits) -> bool:
    """Whether the guide steered the vehicle where it is. In changing wind a policy differs from a sound guide, too.

    apart: the largest mean difference of their latest actions. Up and down no wind blows, and it does not count; but a guide
    that asks for more lift than the policy did not make a weak vehicle sink.
    """
    east, north, up = astray.leans
    lifts = collective(guide) - collective(policy) if guide is not None and policy is not None else up
    return apart * math.hypot(east, north) > limits.led or (abs(up) > limits.led_upright and up * lifts >= 0)


def check_guide(astray: Astray, apart: Action, climbs: bool, room: float, limits: SteeringLimits) -> Findings:
    """Whether the guide steers astray, and the policy objects.

    apart: the mean difference of their latest actions. climbs: in a take-off a heavy vehicle stays below its set-point.
    room: of the cage, m: in a narrow one there is less time.
    """
    east, north, up = astray.leans
    if (away := math.hypot(*astray.moves)) > limits.away:  # where the yaw is wrong, policy and guide agree
        return (
            Finding(
                Fault.STATE_INCONSISTENT,
                f"unexpected acceleration of the vehicle: found {away:.1f} m/s^2, wanted at most {limits.away:g}",
            ),
        )
    level, upright = math.hypot(east, north), (up, limits.leaping) if climbs else (abs(up), limits.sinking)
    aside = min(limits.astray, limits.narrow * room)
    found, most = (level, aside) if level > aside else upright
    if found <= most or max(apart) <= limits.apart:
        return ()
    detail = f"unexpected acceleration by the guide: found {found:.1f} m/s^2, wanted at most {most:g}; the policy differs"
    return (Finding(Fault.DISAGREEMENT, detail),)
