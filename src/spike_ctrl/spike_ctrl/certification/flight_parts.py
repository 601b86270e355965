"""Who flies in a certified flight, and what is kept of it."""

from __future__ import annotations

from typing import NamedTuple

from spike_ctrl.airframe import Airframe
from spike_ctrl.control.guide_protocol import Guide
from spike_ctrl.flight.faults import Rung
from spike_ctrl.policy.policy_protocol import Policy


class Competitors(NamedTuple):
    """Who flies: the policy with its name, the guide and the airframe that both were made for. told: as tell_commands."""

    name: str
    policy: Policy
    guide: Guide
    airframe: Airframe
    told: bool = False


class FlownStep(NamedTuple):
    """The truth at one state: time (s), position and what was estimated of it (m), set-point (m), who flew."""

    time: float
    position: tuple[float, float, float]
    estimated: tuple[float, float, float]
    wanted: tuple[float, float, float]
    rung: Rung
