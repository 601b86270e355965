"""Who flies in a certified flight, and what is kept of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from spike_ctrl._files.arrays import Floats
from spike_ctrl.airframe import Airframe
from spike_ctrl.control.guide_protocol import Guide
from spike_ctrl.flight import bridge
from spike_ctrl.flight.answer_checks import Answer
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.supervisor_state import SupervisorOutput
from spike_ctrl.policy.policy_protocol import Policy

if TYPE_CHECKING:
    from spike_ctrl.certification.flight_core import FlightCore


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


class FlightRecord(Protocol):
    """Takes what passes between the parts, as a bag does."""

    def state(self, now: float, bridged: bridge.BridgedState, seen: Floats | None, guided: bool) -> None: ...
    def answer(self, now: float, answer: Answer) -> None: ...
    def output(self, core: FlightCore, output: SupervisorOutput) -> None: ...
