"""The layout of observations `racing_30` in flight: the object of the core's point `observations`."""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from spike_ctrl.airframe import Airframe
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl_racing import flown_words, race_flights, race_settings
from spike_ctrl_racing.gate_view import RacingPolicy

RACES = 8  # simulated ones, of one round
LEAST = 7  # of them must be completed


def policy(found: Policy, course: str) -> RacingPolicy:
    """The policy on a course, as words of a trajectory or as a bag tells it. Raises UsageError."""
    return RacingPolicy(found, flown_words.read(course).track)


def rehearse(found: RacingPolicy, airframe: Airframe, rate_hz: float, rest: Callable[[], object]) -> str | None:
    """Why a policy must not race, in words; None: it may. rest: called after each step, so that others may run."""
    races = race_flights.fly_race(_Resting(found.policy, rest), [found.track] * RACES, airframe, rounds=1)
    done = sum(race.complete for race, _ in races)
    if done >= LEAST:
        return None
    ends = ", ".join(sorted({race.outcome for race, _ in races if not race.complete}))
    return f"in simulation {done} of {RACES} races over {found.track.name} were completed, wanted {LEAST}: {ends}"


def settings(found: FlightSettings, airframe: Airframe, course: str) -> FlightSettings:
    """The settings of a flight whose policy races. Raises UsageError."""
    return race_settings.race_settings(found, airframe, flown_words.read(course))


class _Resting:
    """A policy after whose steps others may run."""

    def __init__(self, found: Policy, rest: Callable[[], object]) -> None:
        self.inner, self.rest = found, rest

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def step(self, observation: NDArray[Any], state: Any) -> tuple[NDArray[Any], Any]:
        """As `Policy.step`."""
        self.rest()
        return self.inner.step(observation, state)
