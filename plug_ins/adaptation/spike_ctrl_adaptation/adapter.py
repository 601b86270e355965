"""When a policy is to be tuned, and for which vehicle: decided from the states and commands of a flight.

    adapter.see(now, quaternion, velocity, rates, action, distance, flying)   # for each state that the policy answered
    if (estimate := adapter.decide(now)) is not None: ...                     # now and then; tune for that estimate

The policy in command was made for a vehicle. It is tuned anew where the estimate contradicts that, beyond both intervals,
twice in a row; where the vehicle stays away from its set-point; or on request.
"""

from dataclasses import dataclass

import numpy as np

from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import Airframe
from spike_ctrl_adaptation.flown_window import FlightMemory
from spike_ctrl_adaptation.plant_estimate import TRIM, TURNS, PlantEstimate, newest, unchanged


@dataclass(frozen=True)
class AdapterSettings:
    """When a policy is tuned. Accelerations are those of a hover, in m/s^2."""

    changed: float = within(0.3, 0.05, 10.0)  # m/s^2 beyond both intervals, from which the vehicle counts as changed
    steady: float = within(0.35, 0.05, 10.0)  # m/s^2: two estimates in a row differ by less
    away: float = within(0.2, 0.02, 5.0)  # m, mean distance from the set-point that calls for a policy that is tuned ...
    away_time: float = within(2.0, 0.5, 30.0)  # ... s, the mean's memory
    pause: float = within(6.0, 1.0, 600.0)  # s after a policy was offered, in which none is tuned unasked
    attempts: int = within(5, 1, 1000)  # policies that are tuned unasked in one flight


class Adapter:
    """State of the flight, and the vehicle that each policy was made for."""

    def __init__(self, craft: Airframe, settings: AdapterSettings = AdapterSettings()):
        self.craft, self.settings = craft, settings
        self.memory = FlightMemory()
        self.estimate = unchanged(craft)
        self.attempts = 0
        self._made_for: dict[str, PlantEstimate] = {}
        self._described = self.estimate._replace(covariance=np.zeros_like(self.estimate.covariance))
        self._distance, self._seen = 0.0, -np.inf
        self._paused = -np.inf
        self.explained = True  # whether what calls for a policy is a vehicle that differs, and not its distance alone
        self.flying = ""

    def see(
        self,
        now: float,
        quaternion: tuple[float, ...],
        velocity: tuple[float, ...],
        rates: tuple[float, ...],
        action: tuple[float, ...],
        distance: float,
        flying: str,
    ) -> None:
        """A state, the action of the policy `flying` upon it, and the distance (m) from the set-point."""
        share = min(max(now - self._seen, 0.0), 0.1) / self.settings.away_time
        self._distance += share * (distance - self._distance)
        self._seen, self.flying = now, flying
        self.memory.add(now, quaternion, velocity, rates, action)

    def interrupted(self) -> None:
        """Another than the policy flies: what was seen before says little of what comes."""
        self.memory.clear()
        self._distance = 0.0

    def decide(self, now: float, asked: bool = False) -> PlantEstimate | None:
        """The vehicle that a policy is to be tuned for, or None. `estimate` is what is known of it."""
        s, before = self.settings, self.estimate
        self.estimate = found = newest(self.memory.window(), self.craft)
        if not found.identified:
            return None
        if asked:
            self.explained = True
            return found
        if now < self._paused or self.attempts >= s.attempts:
            return None
        made_for = self._made_for.get(self.flying, self._described)
        steady = before.seconds > 0 and _apart(found, before) < s.steady
        changed = found.differs(made_for) > s.changed
        if steady and (changed or self._distance > s.away):
            self.attempts += 1
            self.explained = changed
            return found
        return None

    def offered(self, now: float, name: str, estimate: PlantEstimate) -> None:
        """A policy of that name was made for that vehicle and offered."""
        self._made_for[name] = estimate
        self._paused = now + self.settings.pause

    def failed(self, now: float) -> None:
        """No policy came about."""
        self._paused = now + self.settings.pause


def _apart(one: PlantEstimate, other: PlantEstimate) -> float:
    """How far two estimates lie apart (m/s^2), whatever their intervals."""
    gap = [one.lift[0] - other.lift[0], *(one.mean[1:3] - other.mean[1:3]), *(TURNS * (one.mean[TRIM] - other.mean[TRIM]))]
    return float(np.linalg.norm(gap))
