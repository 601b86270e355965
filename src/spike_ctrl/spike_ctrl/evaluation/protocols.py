"""What a controller flies in an evaluation, by name.

frozen: 1024 starts on the nominal plant. randomised: the same starts on plants that the policy cannot know. corners: hover,
step and figure-eight on plants that are 20 % off in all combinations. The others are trajectories that are followed from a
hover, on the nominal plant, or on unknown ones with `randomised-` before the name. real-flights: the references of real
flights on plants as an airframe with a battery was identified, with sensors that err, from full to empty. airframes: whole
quadrotors that nobody described to the controller, drawn by scaling laws.
"""

from __future__ import annotations

from dataclasses import dataclass

from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import within
from spike_ctrl.control.trajectory import KINDS, Trajectory

STARTS = ("frozen", "randomised")
FOLLOWED = (*KINDS, "gust")
UNKNOWN = "randomised-"
CORNERS = "corners"
REAL = "real-flights"
AIRFRAMES = "airframes"
SETS = (*STARTS, AIRFRAMES)  # which may be flown on several sets of starts
NAMES = (*STARTS, *FOLLOWED, CORNERS, REAL, AIRFRAMES)


@dataclass(frozen=True)
class Gust:
    """A force to the east that rises and falls as (1 - cos) / 2, the discrete gust of MIL-F-8785C, on a hover.

    >>> from spike_ctrl import Trajectory, track
    >>> track("crazyflie", Trajectory("hover"), gust=Gust(share=0.1)).worst < 0.15  # m
    True
    """

    share: float = within(0.2, 0.0, 10.0)  # of the weight, at its height
    duration: float = within(1.0, 0.01, 60.0)  # s


@dataclass(frozen=True)
class Protocol:
    """One protocol. trajectory: what is followed, None for episodes from the frozen starts. unknown: of the plants."""

    name: str
    trajectory: Trajectory | None = None
    gust: Gust | None = None
    unknown: bool = False

    @property
    def sudden(self) -> bool:
        """Whether it jumps or gusts, which nobody can follow at once: then the time to settle counts, not each sample."""
        return self.gust is not None or (self.trajectory is not None and self.trajectory.kind == "step")


def find(name: str) -> Protocol:
    """The protocol of that name. Raises UsageError."""
    if name in (*STARTS, CORNERS, REAL, AIRFRAMES):
        return Protocol(name, unknown=name in ("randomised", REAL, AIRFRAMES))
    kind = name.removeprefix(UNKNOWN)
    if kind not in FOLLOWED:
        raise UsageError(f"found '{name}', wanted among {', '.join(NAMES)}, {UNKNOWN}NAME of one that is followed")
    if kind == "gust":
        return Protocol(name, Trajectory("hover"), Gust(), kind != name)
    return Protocol(name, Trajectory(kind), None, kind != name)
