"""What a hall must leave free for a race: where simulated races lead, and where the vehicle could be stopped from there.

The box holds every place that the vehicles reach, and the ends of the simulated stops (`stop_flights`) from every other
state. In a smaller cage the guide would take the vehicle over.
"""

from typing import NamedTuple

import numpy as np

from spike_ctrl.airframe import Airframe
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.control.trajectory import Vector
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl_racing import course_path, race_flights
from spike_ctrl_racing.course_flight import FLOOR
from spike_ctrl_racing.flown_words import RaceWords
from spike_ctrl_racing.race_flights import Race
from spike_ctrl_racing.stop_flights import StopFlights

RACES, SPREAD = 8, 0.05  # vehicles of a rehearsal, up to so far off
EVERY = 2  # states
MARGIN = 1.0  # m around the room: a simulated stop must end .3 m from the wall, the rest is for noise and wind


class RaceRoom(NamedTuple):
    """Corners (m) from the start of the course, heights from the ground; the races that were flown for it."""

    low: Vector
    high: Vector
    races: list[Race]

    @property
    def size(self) -> Vector:
        """Length, breadth and height (m)."""
        x, y, _ = (b - a for a, b in zip(self.low, self.high, strict=True))
        return x, y, self.high[2]

    @property
    def cage(self) -> tuple[float, ...]:
        """Corners (m) of the keep-in box: the room with MARGIN around it, its floor below the ground."""
        (a, b, _), (d, e, f) = self.low, self.high
        return a - MARGIN, b - MARGIN, FLOOR, d + MARGIN, e + MARGIN, f + MARGIN

    @property
    def lowest(self) -> float:
        """Where the lowest simulated stop ends, m above the ground."""
        return self.low[2]

    def __str__(self) -> str:
        done, (x, y, z) = sum(race.complete for race in self.races), self.size
        fast, mean = max(race.fastest for race in self.races), np.mean([race.speed for race in self.races])
        box = f"{x:.1f} x {y:.1f} x {z:.1f} m"
        corners = ", ".join(f"{a:.1f} to {b:.1f}" for a, b in zip(self.low, self.high, strict=True))
        flown = f"{done} of {len(self.races)} simulated races completed, mean {mean:.1f}, top {fast:.1f} m/s"
        return f"{flown}; the hall must leave free {box}: {corners} m from the start and above the ground"


def room(policy: Policy, words: RaceWords, craft: Airframe, seed: int = 0) -> RaceRoom:
    """The room of a policy with the layout `racing_30` on a course, axes ENU."""
    flown = race_flights.fly_race(policy, [words.track] * RACES, craft, rounds=words.rounds, seed=seed, spread=SPREAD)
    stops, origin = StopFlights(craft, GeometricGuide(craft)), np.array(course_path.start(words.track))
    origin[2] = 0.0
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for _, trace in flown:
        for t in range(0, len(trace.action), EVERY):
            state = trace.state[t].astype(float)
            before = trace.action[max(t - 1, 0)].astype(float)
            velocity, turn, rates = (tuple(state[a:b].tolist()) for a, b in ((7, 10), (3, 7), (10, 13)))
            down, up = stops.reach(velocity, turn, rates, tuple(before.tolist()))
            low, high = np.minimum(low, state[:3] + down), np.maximum(high, state[:3] + up)
    (a, b, c), (d, e, f) = (low - origin).tolist(), (high - origin).tolist()
    return RaceRoom((a, b, c), (d, e, f), [race for race, _ in flown])
