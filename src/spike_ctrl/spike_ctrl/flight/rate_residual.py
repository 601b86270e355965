"""Whether the vehicle turns as it is commanded. Pure.

A link that loses most commands keeps the autopilot from its loss time with the few that arrive, and between them it flies
old rates. So does a bridge that says what it does not send, and so it looks where a rotor is gone. What the vehicle has
turned otherwise than commanded is summed up, and forgotten within a third of a second. Where the sum is too large, no
command is sent any more: the autopilot's own net takes over then, whatever it hears. Where it is a pilot who has begun to
fly, silence is right.

The rates that commands should make follow them with one lag. No autopilot has just that one, so a share of what was
commanded is allowed as well. Beyond that share healthy flights reach .06 rad at most: 400 flights of three airframes, on
plants up to a fifth off, in wind and noise; and .04 rad in 19 on PX4 v1.17 in its own simulation. A vehicle cannot follow
all that is asked of it in a recovery, or by commands that jump from limit to limit: it is not judged then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from spike_ctrl._files.ranges import within
from spike_ctrl.flight.faults import Fault, Finding, Findings
from spike_ctrl.flight.state_checks import Sample


@dataclass(frozen=True)
class RateResidualLimits:
    """fastest: rad/s that an action of 1 commands about each axis; None where actions command no rates."""

    fastest: tuple[float, ...] | None = None
    apart: float = within(0.15, 0.01, 100.0, "Largest turn otherwise than commanded, of roll and pitch.", "rad")
    share: float = within(0.25, 0.0, 1.0, "Share of the commanded turn that is allowed beside it.", "")
    memory: float = within(0.3, 0.15, 10.0, "Time in which a turn is forgotten.", "s")
    lag: float = within(0.1, 0.001, 1.0, "From a command to the rates: link and rate loop.", "s")
    full: float = within(
        0.98, 0.5, 1.0, "From this size of an action on it is at its limit, and the turn is not judged.", ""
    )
    pause: float = within(0.15, 0.01, 10.0, "After a longer pause of states nothing is known of what happened in it.", "s")


class RateResidual(NamedTuple):
    """stamp: of the last state, s. expected: roll and pitch rate, rad/s. apart, commanded: the sums, rad."""

    stamp: float | None = None
    expected: tuple[float, float] = (0.0, 0.0)
    apart: tuple[float, float] = (0.0, 0.0)
    commanded: float = 0.0

    def beyond(self, share: float) -> float:
        """How far (rad) the vehicle has turned otherwise than commanded, less that share of what was commanded."""
        return math.hypot(*self.apart) - share * self.commanded


def follow(
    track: RateResidual, sample: Sample, action: tuple[float, float, float, float] | None, limits: RateResidualLimits
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
