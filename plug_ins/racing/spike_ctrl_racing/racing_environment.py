"""Races through gates over the core's batched dynamics, with Gymnasium's vector and single-vehicle interfaces.

Autoreset is Gymnasium's NEXT_STEP, as in `spike_ctrl.sim.environment`.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spike_ctrl import airframe as airframes
from spike_ctrl._files import ranges
from spike_ctrl._files.arrays import Floats
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import ACTION_LAYOUTS, Airframe
from spike_ctrl.sim import dynamics, randomisation
from spike_ctrl.sim.dynamics import DELAY, POSITION
from spike_ctrl.sim.environment import LIMITS, RATE_HZ, require_short_delays
from spike_ctrl.sim.gymnasium_environments import changed, refuse_episode_steps
from spike_ctrl.sim.randomisation import InitialStates, Randomisation
from spike_ctrl.sim.vehicle_batch import LateCommands, OneOfBatch, VehicleBatch, movement
from spike_ctrl_racing import race_kernels, track
from spike_ctrl_racing.race_kernels import SIZE, RaceField, Results, Rules
from spike_ctrl_racing.race_reward import RaceReward
from spike_ctrl_racing.race_senses import RaceSenses
from spike_ctrl_racing.track import GATE_ROWS, Track
from spike_ctrl_racing.track_sampler import MOST_GATES, TrackRanges, draw

LAYOUT = "racing_30"
EPISODE_STEPS = 6000
_NOTHING, _NO_RULES = np.zeros(5, np.float32), (np.float32(0), np.float32(0), np.float32(0))  # of the position task
_HEADING = slice(dynamics.TARGET_COS, dynamics.TARGET_SIN + 1)
OUTCOMES = ("flying", "finished", "touched", "outside", "late")


@dataclass(frozen=True)
class RacingTask:
    """A race: courses, rounds, starts, the arena around the course, true plants."""

    tracks: TrackRanges | tuple[Track, ...] = TrackRanges()
    rounds: int = within(3, 1, 1000, "Rounds of a flight.")
    episode_steps: int = within(EPISODE_STEPS, 1, 2**24, "Longest flight, in control steps of 10 ms.")
    radius: float = within(0.2, 0.0, 2.0, "Radius of the vehicle, which may touch no frame and not the ground.", "m")
    margin: float = within(6.0, 1.0, 100.0, "Distance from the outermost gates to the walls of the arena.", "m")
    above: float = within(4.0, 1.0, 100.0, "Distance from the highest gate to the ceiling.", "m")
    back: float = within(2.0, 0.1, 20.0, "Distance from the start to the first gate: .7 to 1 of it.", "m")
    anywhere: float = within(0.0, 0.0, 1.0, "Share of flights that begin before another gate than the first.")
    speed: float = within(0.0, 0.0, 30.0, "Highest speed at the start, through the gate.", "m/s")
    start: InitialStates = InitialStates(at_target=0.0, position=0.2, tilt=0.1, velocity=0.1, rates=0.1, yaw=0.1)
    randomisation: Randomisation = field(default_factory=Randomisation)


def radius_of(airframe: Airframe) -> float:
    """The radius (m) that a vehicle counts with in a race: with its propellers, and at most that of the racer, .2 m."""
    farthest = max(math.hypot(x, y) for x, y in zip(airframe.rotor_x, airframe.rotor_y, strict=True))
    return min(1.6 * farthest, RacingTask.radius)


def require(task: RacingTask, airframe: Airframe) -> None:
    """Raise UsageError for what a race cannot have."""
    ranges.check(task, "task")
    if task.randomisation.sensors.late:
        found = "found samples that are late"
        raise UsageError(f"randomisation.sensors: {found}, wanted none in a race; randomisation.delay delays its commands")
    require_short_delays(airframe, task.randomisation)
    if isinstance(task.tracks, tuple) and not task.tracks:
        raise UsageError("tracks: found none, wanted courses or the ranges of courses")


class RacingEnvironment(VehicleBatch):
    """N vehicles that race through gates, each in flights and, where courses are drawn, on courses of its own.

    Actions float32 (N, 4) in [-1, 1], motors or rates as the airframe's layout says. Observations float32 (N, 30): the 18
    numbers of the position task (position error (3, m), rotation matrix (9, row-major), velocity (3, m/s), body rates
    (3, rad/s, FLU)) with the next gate's centre as the set-point, and the yaw of its normal as that of the frame; then for
    the next gate and the one after it the centre from the vehicle (3, m) and the normal (3), both in the body frame, FLU.
    With `noise` or `sensors` in the task's randomisation the policy sees an estimate; rewards and gates go by the truth.

    A step earns what `RaceReward` weighs. A flight is terminated when its rounds are complete, when the vehicle has touched
    a frame or the ground, or left the arena; it is truncated by `episode_steps`. Equal seeds give equal runs. `info` holds
    under "flight", where "_flight" is true: r (return), l (steps), outcome (an index of `OUTCOMES`), passed (gates), flown
    (m), off_centre (m, root mean square at the passed gates), fastest (m/s).

    >>> from spike_ctrl.airframe import Airframe
    >>> environment = RacingEnvironment(Airframe.load("racer"), vehicles=64)
    >>> observation, info = environment.reset(seed=1)
    >>> observation.shape
    (64, 30)
    """

    def __init__(
        self, airframe: Airframe, vehicles: int, task: RacingTask = RacingTask(), reward: RaceReward = RaceReward()
    ) -> None:
        super().__init__(airframe, vehicles)
        require(task, airframe)
        self.task, self.reward = task, reward
        self._senses = RaceSenses(task.randomisation, vehicles)
        farthest = np.concatenate([LIMITS, np.tile(np.repeat([4e3, 1.001], 3), 2)]).astype(np.float32)
        farthest *= 1 if self._senses.exact else 2  # far more than an estimate is wrong by
        self._observe_within(farthest)
        self.kept = np.zeros((vehicles, race_kernels.KEPT), np.float32)
        f = np.float32
        self.rules = Rules(
            task.rounds, task.episode_steps, f(task.radius), f(task.margin), f(task.above), f(task.anywhere), f(task.back),
            f(task.speed),
        )  # fmt: skip
        self._ranges = np.empty(0, np.float32)
        if isinstance(task.tracks, TrackRanges):
            draw(0, 0, task.tracks)  # raises where there is no room
            self._ranges = task.tracks.array()
            gates = np.zeros((vehicles, MOST_GATES, GATE_ROWS), np.float32)
            self.field = RaceField(
                gates, np.zeros(vehicles, np.int64), np.zeros((vehicles, 6), np.float32), np.arange(vehicles)
            )
        else:
            self.field = _field(task.tracks, vehicles)
            race_kernels.enclose(self.field, self.rules)
        self._moves = movement(airframe, RATE_HZ, task.randomisation.dead_time > 0)
        self._draws = task.start.array(), randomisation.nominal(airframe), task.randomisation.array()
        self._hover = np.float32(airframe.hover)
        self._late = LateCommands(airframe, vehicles) if task.randomisation.delay else None

    @property
    def reward(self) -> RaceReward:
        """Weights of the reward; they may change between steps."""
        return self._reward

    @reward.setter
    def reward(self, reward: RaceReward) -> None:
        self._reward, self._weights = reward, reward.array()

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """Begin a flight in every vehicle; with a seed, from the first flight of that seed's sequence.

        options: {"reset_mask": who} begins one only in the vehicles with who[n], a bool array (N,). Raises ValueError.
        """
        who = self._beginning(seed, options)
        if seed is not None:
            self._senses.seed(self._seed)
        observation = np.empty((self.num_envs, SIZE), np.float32)
        race_kernels.start(
            self.buffer, who, self._seed, self._draws, self._hover, self.kept, self.field, self._ranges, self.rules,
            observation.ravel(), self._moves.extension,
        )  # fmt: skip
        if self._late:
            self._late.begin(who)
        return self._senses.sensed(observation, self.read(_HEADING), who), {}

    def step(self, actions: Floats) -> tuple[Floats, Floats, Any, Any, dict[str, Any]]:
        """One control step of 10 ms for every vehicle. Actions (N, 4) beyond [-1, 1] are clipped.

        Gives observation (N, 30), reward (N,), terminated (N,), truncated (N,), info. Raises ValueError for actions of
        another shape.
        """
        actions, n = self._checked(actions), self.num_envs
        observation, flight = np.empty((n, SIZE), np.float32), np.zeros((n, race_kernels.KEPT), np.float32)
        ends, outcome, reward = np.empty((2, n), np.bool_), np.empty(n, np.int64), np.empty(n, np.float32)
        results = Results(observation.ravel(), reward, ends, outcome, flight)
        before, (move, plant, extension) = self.read(slice(POSITION, POSITION + 3)), self._moves
        begun = self.kept[:, race_kernels.ENDED] > 0  # by this step
        if self._late:
            actions = self._late.now(actions, self.read(DELAY).astype(np.int64))
            self._late.begin(begun)
        move(self.buffer, actions, *plant, _NOTHING, _NO_RULES, self._seed, self._draws, None)
        finished = race_kernels.finish(
            self.buffer, before, actions, self._weights, self._seed, self._draws, self._hover, self.kept, self.field,
            self._ranges, self.rules, results, extension,
        )  # fmt: skip
        info = {"flight": _flight(flight, outcome), "_flight": ends[0] | ends[1]} if finished else {}
        return self._senses.sensed(observation, self.read(_HEADING), begun), reward, ends[0], ends[1], info

    def course(self, vehicle: int) -> Floats:
        """The gates (gates, 16) of the course that a vehicle flies now, as `track.gate_row` gives them."""
        course = self.field.of[vehicle]
        return self.field.gates[course, : self.field.counts[course]].copy()


def _field(tracks: Sequence[Track], vehicles: int) -> RaceField:
    """Given courses; vehicle n flies course n modulo their number."""
    counts = np.array([len(course.gates) for course in tracks])
    gates = np.zeros((len(tracks), counts.max(), GATE_ROWS), np.float32)
    for course, given in zip(gates, tracks, strict=True):
        course[: len(given.gates)] = given.rows()
    return RaceField(gates, counts, np.zeros((len(tracks), 6), np.float32), np.arange(vehicles) % len(tracks))


def _flight(kept: Floats, outcome: Any) -> dict[str, Any]:
    """Of flights that ended; 0 where one goes on."""
    k, passes = race_kernels, kept[:, race_kernels.PASSES]
    return {
        "r": kept[:, k.RETURN],
        "l": kept[:, k.STEPS].astype(np.int64),
        "outcome": outcome,
        "passed": passes.astype(np.int64),
        "flown": kept[:, k.FLOWN],
        "off_centre": np.sqrt(kept[:, k.OFF_CENTRE] / np.maximum(passes, 1)),
        "fastest": kept[:, k.FASTEST],
    }


class SingleRacingEnvironment(OneOfBatch):
    """One vehicle of `RacingEnvironment`, as an ordinary Gymnasium environment: observations (30,), actions (4,)."""

    def __init__(self, airframe: Airframe, task: RacingTask = RacingTask(), reward: RaceReward = RaceReward()) -> None:
        super().__init__(RacingEnvironment(airframe, 1, task, reward))


def make_race(
    airframe: str | Path | Airframe = "racer",
    vehicles: int | None = None,
    *,
    layout: str | None = None,
    tracks: TrackRanges | Mapping[str, Any] | Sequence[Track | str] = TrackRanges(),
    reward: RaceReward | Mapping[str, Any] = RaceReward(),
    **task: Any,
) -> RacingEnvironment | SingleRacingEnvironment:
    """The racing task: fly through all gates of a course in their order, in as little time as possible.

    airframe: an `Airframe`, a name among config/airframes, or the path of a YAML file. vehicles: None for one vehicle as a
    `gymnasium.Env`; a number N for a `gymnasium.vector.VectorEnv`. layout: "motors" or "rates" in place of the airframe's.
    tracks: ranges from which courses are drawn, by name, `{"most": 6}`; or courses, names or paths of YAML files. reward:
    what differs from the defaults, by name. task: fields of `RacingTask`. Raises UsageError, which is a ValueError.

    >>> make_race(vehicles=64, tracks=["split_s"]).reset(seed=0)[0].shape
    (64, 30)
    """
    craft = airframes.load(airframe)
    if layout not in (None, *ACTION_LAYOUTS):
        raise UsageError(f"layout: found {layout!r}, wanted {' or '.join(ACTION_LAYOUTS)}")
    if layout is not None and layout != craft.action_layout:
        craft = dataclasses.replace(craft, action_layout=layout)
    if isinstance(tracks, Mapping):
        tracks = changed(TrackRanges(), tracks, "tracks")
    elif not isinstance(tracks, TrackRanges):
        named = isinstance(tracks, Sequence) and not isinstance(tracks, str)
        if not named or not all(isinstance(course, (str, Track)) for course in tracks):
            raise UsageError(f"tracks: found {tracks!r}, wanted a list of courses, or the ranges of courses")
        tracks = tuple(track.load(course) if isinstance(course, str) else course for course in tracks)
    if "randomisation" in task:
        task["randomisation"] = changed(Randomisation(), task["randomisation"], "randomisation")
    race = changed(RacingTask(tracks=tracks), task, "task")  # type: ignore[arg-type]
    weights = changed(RaceReward(), reward, "reward")
    if vehicles is None:
        return SingleRacingEnvironment(craft, race, weights)
    return RacingEnvironment(craft, vehicles, race, weights)


def racing(**options: Any) -> SingleRacingEnvironment:
    """What `gymnasium.make` calls: one vehicle whose flights Gymnasium's own TimeLimit ends. options: as of `make_race`."""
    refuse_episode_steps(options)
    made = make_race(**options, vehicles=None, episode_steps=2**24)
    assert isinstance(made, SingleRacingEnvironment)
    return made


def racing_vector(num_envs: int, max_episode_steps: int, **options: Any) -> RacingEnvironment:
    """What `gymnasium.make_vec` calls: one batched environment. options: as of `make_race`."""
    refuse_episode_steps(options)
    made = make_race(**options, vehicles=num_envs, episode_steps=max_episode_steps)
    assert isinstance(made, RacingEnvironment)
    return made
