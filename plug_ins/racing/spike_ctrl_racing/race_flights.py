"""Races: what a policy makes of courses, and the figures of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from spike_ctrl._files.arrays import Flags, Floats
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl.sim.dynamics import STATE_ROWS
from spike_ctrl_racing.race_kernels import SIZE
from spike_ctrl_racing.race_senses import like_px4
from spike_ctrl_racing.racing_environment import LAYOUT, OUTCOMES, RacingEnvironment, RacingTask, radius_of
from spike_ctrl_racing.track import Track

DONE = OUTCOMES.index("finished")


class Trace(NamedTuple):
    """The way of one flight, a row for each control step of 10 ms from the start on."""

    position: Floats  # [T, 3], world, m
    speed: Floats  # [T], m/s
    state: Floats  # [T, 17], as of `dynamics.STATE_ROWS`
    action: Floats  # [T - 1, 4], that led from each state to the next


@dataclass(frozen=True)
class Race:
    """One flight over a course."""

    track: str
    outcome: str  # of `racing_environment.OUTCOMES`
    gates: int  # that were to be passed
    passed: int
    time: float  # s, to the last gate or to the end of the flight
    speed: float  # m/s, way flown over time
    fastest: float  # m/s
    off_centre: float  # m, root mean square over the gates that were passed

    @property
    def complete(self) -> bool:
        return self.outcome == OUTCOMES[DONE]


class Summary(NamedTuple):
    """Of many races."""

    races: int
    completed: float  # share
    passed: float  # share of all gates
    speed: float  # m/s, mean over the races that were completed; NaN: none was
    fastest: float  # m/s, of all
    off_centre: float  # m, root mean square over all gates that were passed


def summary(races: Sequence[Race]) -> Summary:
    """The figures of some races."""
    complete = [race.speed for race in races if race.complete]
    passed = np.array([race.passed for race in races])
    off = np.array([race.off_centre for race in races])
    return Summary(
        len(races),
        len(complete) / len(races),
        float(passed.sum() / sum(race.gates for race in races)),
        float(np.mean(complete)) if complete else float("nan"),
        max(race.fastest for race in races),
        float(np.sqrt((passed * off**2).sum() / max(1, passed.sum()))),
    )


def require(policy: Any, layout: str, name: str) -> None:
    """Raise UsageError for a policy that does not see gates. layout: of its observation."""
    if layout != LAYOUT or (policy.inputs, policy.outputs) != (SIZE, 4):
        found = f"found {layout} with {policy.inputs} inputs and {policy.outputs} outputs"
        raise UsageError(f"{name}: observation: {found}, wanted {LAYOUT} with {SIZE} and 4, of `spike-ctrl race train`")


def fly_race(
    policy: Policy,
    tracks: Sequence[Track],
    airframe: Airframe,
    *,
    rounds: int = 3,
    seed: int = 0,
    seconds: float = 120.0,
    spread: float = 0.0,
    noise: float = 0.0,
    late: int = 0,
    show: Callable[[float], None] = lambda share: None,
    watch: Callable[[Floats, Any, Flags], None] | None = None,
) -> list[tuple[Race, Trace]]:
    """Fly each course once, all at the same time, from rest before the first gate.

    seconds: after so many a flight is late. spread: mass, inertia, thrust and lag of the plants, factors 1 - x to 1 + x,
    drawn by the seed. noise: errors of the estimate, times those of `race_senses.like_px4`. late: commands take effect 0 to
    so many control steps later. show: gets the share of the flights that have ended. watch: gets at each step what was seen,
    the policy's state after it, and who still races (N,).
    """
    differ = replace(like_px4(noise), mass=spread, inertia=spread, thrust=spread, lag=spread, delay=late)
    steps_most, radius = max(1, round(100 * seconds)), radius_of(airframe)
    task = RacingTask(tuple(tracks), rounds=rounds, episode_steps=steps_most, radius=radius, randomisation=differ)
    environment = RacingEnvironment(airframe, len(tracks), task)
    seen, _ = environment.reset(seed=seed)
    state, flying = policy.initial_state(len(tracks)), np.ones(len(tracks), bool)
    figures: dict[str, Any] = {}
    rows = [environment.read(STATE_ROWS)]
    steps, actions = np.zeros(len(tracks), int), []
    while flying.any():
        action, state = policy.step(seen, state)
        if watch:
            watch(seen, state, flying)
        seen, _, terminated, truncated, info = environment.step(np.nan_to_num(action))
        rows.append(environment.read(STATE_ROWS))
        actions.append(action)
        steps[flying] += 1
        ended = flying & (terminated | truncated)
        if ended.any():
            for key, values in info["flight"].items():
                figures.setdefault(key, np.zeros(len(tracks), values.dtype))[ended] = values[ended]
            flying &= ~ended
            show(1 - flying.mean())
    flown, commands = np.stack(rows), np.stack(actions)
    found = []
    for n, course in enumerate(tracks):
        time = 0.01 * steps[n]
        race = Race(
            course.name, OUTCOMES[figures["outcome"][n]], rounds * len(course.gates), int(figures["passed"][n]), float(time),
            float(figures["flown"][n] / time), float(figures["fastest"][n]), float(figures["off_centre"][n]),
        )  # fmt: skip
        states = flown[: steps[n] + 1, n]
        trace = Trace(states[:, :3], np.linalg.norm(states[:, 7:10], axis=1), states, commands[: steps[n], n])
        found.append((race, trace))
    return found
