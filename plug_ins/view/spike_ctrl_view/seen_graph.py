"""What was seen of a running graph at one moment, and what it means now; the views in terminal and browser show it.

seen = SeenGraph(now=12.0, nodes=("simulator", "learner"), streams=(SeenStream("state", 100.0, 0.002),))
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from spike_ctrl._files.text_table import printable
from spike_ctrl.control.trajectory import PASS_ERROR
from spike_ctrl.flight.faults import Fault, Rung
from spike_ctrl.policy.pilot import Reason

STALE = 0.1  # s; an older message of a fast topic is late
LATE = 3.0  # s; the same for a topic below SLOW
SLOW = 20.0  # Hz
REASON_SHOWN = 20.0  # s after a change of the rung: the reason is shown for that long
LOW_BATTERY = 0.3
AXES = {"motors": ("FR", "BR", "BL", "FL"), "rates": ("thrust", "roll", "pitch", "yaw")}
MODES = dict(enumerate(("offboard", "hold", "land", "return", "a pilot's")))
RUNGS = {int(rung): rung.name for rung in Rung}
REASONS = {int(reason): reason.name for reason in Reason}
FAULTS = {fault.number: fault for fault in Fault}
DOING = {
    Rung.SNN: "the policy flies",
    Rung.HOLD: "the autopilot holds its place",
    Rung.LAND: "the autopilot lands",
    Rung.SILENT: "the autopilot is on its own",
}


class SeenStream(NamedTuple):
    """A topic: its name, messages per second, and the age of the last message, s; None if there was none."""

    topic: str
    hertz: float
    age: float | None


@dataclass(frozen=True)
class SeenGraph:
    """A graph at one moment.

    supervisor, autopilot, policy, training: the last message of spike_ctrl_msgs from each, None if there was none.
    now: s since the watch began. rung_since: value of `now` when the rung last changed, or was first heard where turned is
    False. error: distances of vehicle 0 from its set-point, m, oldest first.
    actions: of vehicle 0, by topic. events: (now, severity, text), oldest first.
    pace: seconds of the vehicle's clock in a second, NaN: unknown. wanted: part of a topic's name, the others are hidden.
    """

    now: float
    nodes: Sequence[str] = ()
    streams: Sequence[SeenStream] = ()
    supervisor: Any = None
    rung_since: float = 0.0
    autopilot: Any = None
    policy: Any = None
    training: Any = None
    vehicles: int = 0
    error: Sequence[float] = ()
    actions: Mapping[str, Sequence[float]] = field(default_factory=dict)
    layout: str = "motors"
    events: Sequence[tuple[float, str, str]] = ()
    pace: float = math.nan
    wanted: str = ""
    turned: bool = True

    @property
    def lasting(self) -> str:
        """How long this rung lasts, as far as it was watched."""
        return f"for {'' if self.turned else 'at least '}{self.now - self.rung_since:.0f} s"

    @property
    def heard(self) -> bool:
        return any(stream.age is not None for stream in self.streams)

    @property
    def gone(self) -> bool:
        """Whether the graph that was heard has ended."""
        return self.heard and not self.nodes

    @property
    def over(self) -> bool:
        """Whether a flight has landed or the graph has ended: what stops then is not late."""
        rung, pilot = getattr(self.supervisor, "rung", None), self.autopilot
        landed = rung == Rung.SILENT and pilot is not None and pilot.heard and pilot.landed and not pilot.armed
        return landed or self.gone

    @property
    def judged(self) -> bool:
        """Whether the pass line is for the present error: not while the guide or the autopilot flies."""
        return not self.over and (self.supervisor is None or self.supervisor.rung == Rung.SNN)

    def shown(self) -> tuple[SeenStream, ...]:
        """The topics that are wanted."""
        return tuple(stream for stream in self.streams if self.wanted in stream.topic)


def late(seen: SeenGraph, stream: SeenStream) -> bool:
    """Whether a topic's last message is too old, while it should come."""
    return not seen.over and stream.age is not None and stream.age > (LATE if stream.hertz < SLOW else STALE)


def unheard(seen: SeenGraph, topic: str) -> str:
    """For how long a topic that was heard is missing, in words; empty while it comes: what it said last may hold no more."""
    ages = [stream.age for stream in seen.streams if stream.topic == topic and stream.age is not None]
    return f"not heard for {ages[0]:.0f} s" if ages and ages[0] > LATE and not seen.over else ""


def pace(seen: SeenGraph) -> str:
    """How fast the vehicle's clock goes, in words; empty: unknown or stopped."""
    return f"vehicle's clock {seen.pace:.{0 if seen.pace >= 10 else 2}f} x real time" if seen.pace > 0 else ""


def doing(supervisor: Any) -> str:
    """What happens on the present rung, in words."""
    if supervisor.rung == Rung.GUIDE:
        return f"the guide flies, {'the policy is judged' if supervisor.wanted else 'nobody asks for the policy'}"
    return DOING.get(supervisor.rung, "")


def reason(seen: SeenGraph) -> str:
    """Why the present rung was taken; empty after REASON_SHOWN."""
    return printable(seen.supervisor.reason) if seen.now - seen.rung_since <= REASON_SHOWN else ""


def latched(supervisor: Any) -> str:
    """The fault that ended the last engagement."""
    return FAULTS[supervisor.latched].name if supervisor.latched in FAULTS else "none"


def autopilot(pilot: Any) -> tuple[str, str]:
    """The autopilot's state and its battery, in words."""
    battery = "unknown" if math.isnan(pilot.battery) else f"{100 * pilot.battery:.0f} %, {pilot.voltage:.1f} V"
    where = "on the ground" if pilot.landed else "in the air"
    return f"{MODES.get(pilot.mode, '?')}, {'armed' if pilot.armed else 'disarmed'}, {where}", battery


def off(seen: SeenGraph) -> bool:
    """Whether the present error is beyond the pass line, where that counts."""
    return seen.judged and not seen.error[-1] <= PASS_ERROR


def age(seconds: float) -> str:
    return f"{1e3 * seconds:.0f} ms" if seconds < 10 else f"{seconds:.0f} s"


def hertz(value: float) -> str:
    return f"{value:.1f}" if value < SLOW else f"{value:.0f}"


def share(training: Any) -> float:
    """Share of the training run that is done, from the steps done and the time left at the present speed."""
    whole = training.environment_steps + training.remaining_time * training.steps_per_second
    return training.environment_steps / whole if whole > 0 and math.isfinite(whole) else 0.0


def number(value: float, form: str) -> str:
    return f"{value:{form}}" if math.isfinite(value) else "-"


def training_figures(status: Any) -> tuple[tuple[str, str], ...]:
    """(name, value) of what a training tells, the steps first."""
    return (
        ("steps", f"{status.environment_steps / 1e6:.2f}M"),
        ("steps/s", f"{status.steps_per_second / 1e3:.0f}k"),
        ("updates", str(status.updates)),
        ("checkpoint", str(status.epoch)),
        ("return", number(status.return_mean, ".0f")),
        ("survival", number(status.survival, ".2f")),
        ("guide flies", f"{100 * status.guide_share:.0f} %"),
        ("slope", f"{status.slope:.1f}"),
        ("critic", number(status.critic_loss, ".3f")),
        ("actor", number(status.actor_loss, ".3f")),
    )
