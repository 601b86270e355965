"""The layout of observations `racing_30` in flight: the object of the core's point `observations`."""

from __future__ import annotations

from collections.abc import Callable

from spike_ctrl.airframe import Airframe
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl_racing import flown_words, gate_view, race_settings
from spike_ctrl_racing.gate_view import RacingPolicy


def policy(found: Policy, course: str) -> RacingPolicy:
    """The policy on a course, as words of a trajectory or as a bag tells it. Raises UsageError."""
    words = flown_words.read(course)
    return RacingPolicy(found, gate_view.laid_out(words.track))


def rehearse(found: RacingPolicy, airframe: Airframe, rate_hz: float, rest: Callable[[], object]) -> str | None:
    """Why a policy must not fly, in words; None: it may. It races in simulation before the launch (`course_flight`)."""
    return None


def settings(found: FlightSettings, airframe: Airframe, course: str) -> FlightSettings:
    """The settings of a flight whose policy races. Raises UsageError."""
    return race_settings.race_settings(found, airframe, flown_words.read(course))
