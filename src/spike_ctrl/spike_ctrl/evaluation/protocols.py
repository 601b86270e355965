"""What a controller flies in an evaluation, by name.

frozen: 1024 starts on the nominal plant. randomised: the same starts on plants that the policy cannot know. The others are
trajectories that are followed from a hover, on the nominal plant, or on unknown ones with `randomised-` before the name.
Packages add protocols of their own at the point `spike_ctrl.protocols`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import within
from spike_ctrl.control.trajectory import KINDS, Trajectory

if TYPE_CHECKING:
    from spike_ctrl.airframe import Airframe
    from spike_ctrl.evaluation.controllers import Controller

Controllers: TypeAlias = "dict[str, Controller]"  # by what tables call them
Figures: TypeAlias = dict[str, dict[str, Any]]  # of each controller, for JSON

STARTS = ("frozen", "randomised")
FOLLOWED = (*KINDS, "gust")
UNKNOWN = "randomised-"
NAMES = (*STARTS, *FOLLOWED)


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


@dataclass(frozen=True)
class EvalProtocol:
    """A protocol of `spike-ctrl eval`; packages add such objects.

    - fly: flies controllers as the options of the command line say, prints their tables, gives their figures.
    - guides: what --guide adds. guide_first: --guide also flies each policy after 50 steps of the guide.
    - require: raises UsageError for an airframe or options that do not fit.
    - foreign: policies fly that were made for another airframe.
    - carriers: where --airframe is not given and this is the only protocol, the airframe by the policies' layout of actions.
    - sets: --seeds flies it on several sets. inserts: --insert goes with it; the functions are in `options.inserts`.
    """

    fly: Callable[[Controllers, Airframe, argparse.Namespace], Figures]
    guides: Callable[[Airframe], Controllers]
    guide_first: bool = False
    require: Callable[[Airframe, argparse.Namespace], None] = lambda airframe, options: None
    foreign: bool = False
    carriers: Mapping[str, str] = field(default_factory=dict)
    sets: bool = False
    inserts: bool = False


def find(name: str, others: Sequence[str] = ()) -> Protocol:
    """Our protocol of that name. Raises UsageError, which also names the `others`, those of packages."""
    if name in STARTS:
        return Protocol(name, unknown=name == "randomised")
    kind = name.removeprefix(UNKNOWN)
    if kind not in FOLLOWED:
        wanted = f"{', '.join((*NAMES, *others))}, or {UNKNOWN}NAME, such as {UNKNOWN}figure8"
        raise UsageError(f"found '{name}', wanted among {wanted}")
    gust = Gust() if kind == "gust" else None
    return Protocol(name, Trajectory("hover" if gust else kind), gust, kind != name)
