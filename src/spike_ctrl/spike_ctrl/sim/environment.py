"""Episodes of the position task over the batched dynamics, with Gymnasium's vector and single-vehicle interfaces.

Autoreset is Gymnasium's NEXT_STEP: the step that ends an episode returns its final observation; the next step ignores
its action, starts a new episode, and returns the first observation with reward 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from spike_ctrl._files.arrays import Flags, Floats
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.sim import airframe_sampler, dynamics, episode_kernels, randomisation
from spike_ctrl.sim.airframe_sampler import AirframeRanges
from spike_ctrl.sim.dynamics import DELAY, ENDED
from spike_ctrl.sim.observation import NOISE
from spike_ctrl.sim.observation import SIZE as OBSERVATION_SIZE
from spike_ctrl.sim.pipeline import InsertFunction, Inserts, Pipeline, listed
from spike_ctrl.sim.randomisation import MAX_DELAY, InitialStates, Randomisation
from spike_ctrl.sim.reward import START, TERMS, Coefficients
from spike_ctrl.sim.reward_terms import RewardTerm, RewardTerms
from spike_ctrl.sim.sensor_noise import LateSight, SensorErrors, SensorSettings, disturbed
from spike_ctrl.sim.vehicle_batch import LateCommands, OneOfBatch, VehicleBatch, movement, read_only

RATE_HZ = 100.0
STATISTICS = ("r", *(f"cost_{term}" for term in TERMS), "l")
LIMITS = np.repeat([1e3, 1.001, 1e3, 1e4], [3, 9, 3, 3])
"""Bounds of the observation space without noise (m, 1, m/s, rad/s): finite as wrappers want them; no flight gets near."""


_TARGET_ROWS, _HEADING_ROWS = slice(dynamics.TARGET, dynamics.TARGET_COS), slice(dynamics.TARGET_COS, dynamics.COMMAND)

Stepped: TypeAlias = tuple[Floats, Floats, Flags, Flags, dict[str, Any]]
"""Observations, rewards, terminated, truncated, info."""


@dataclass(frozen=True)
class Task:
    """The position task: half-width of the box (m), steps of an episode, distribution of starts and of true plants.

    airframes: from where whole airframes are drawn, whose arms and battery are the environment's airframe's.
    """

    box: float = 0.6
    episode_steps: int = 500
    start: InitialStates = field(default_factory=InitialStates)
    randomisation: Randomisation = field(default_factory=Randomisation)
    airframes: AirframeRanges | None = None


def _reach(sensors: SensorSettings) -> Floats:
    """Deviation (18,) of the sensors' errors in an observation."""
    p, v, a, g = (sensors.deviation + sensors.bias).reshape(4, 3)
    return np.concatenate([p, np.full(9, a.max()), v, g])


def require_short_delays(airframe: Airframe, differ: Randomisation) -> None:
    """Raise UsageError where a command may be later than MAX_DELAY control steps, or a rate loop has a dead time."""
    if differ.dead_time and airframe.action_layout == "rates":
        found = f"found {differ.dead_time:g} s for airframe {airframe.name}, whose action_layout is 'rates'"
        raise UsageError(f"randomisation.dead_time: {found}, wanted 0; randomisation.delay delays its commands")
    longest = RATE_HZ * (airframe.dead_time + differ.dead_time) + differ.delay
    if longest > MAX_DELAY + 1e-6:
        found = f"found delays of up to {1e3 * longest / RATE_HZ:g} ms, wanted at most {1e3 * MAX_DELAY / RATE_HZ:g} ms"
        raise UsageError(f"dead_time, randomisation.dead_time, randomisation.delay: {found} in total")


class Environment(VehicleBatch):
    """N vehicles flying the position task, each in episodes of its own: a Gymnasium vector environment.

    Actions float32 (N, 4) in [-1, 1], motors or rates as the airframe's layout says; observations float32 (N, 18): position
    error (3, m), rotation matrix (9, row-major), velocity (3, m/s), body rates (3, rad/s, FLU), in the set-point's frame.
    Equal seeds give equal runs: every start is a function of (seed, vehicle, episode). `info` holds return, length and
    summed costs of the episodes that ended under "flight", with the mask "_flight". terms: costs of your own beside those of
    the reward that `coefficients` weigh. inserts: physics of your own, see `insert`.

    >>> from spike_ctrl.airframe import Airframe
    >>> environment = Environment(Airframe.load("crazyflie"), vehicles=64)
    >>> observation, info = environment.reset(seed=1)
    >>> observation, reward, terminated, truncated, info = environment.step(environment.action_space.sample())
    >>> observation.shape, reward.shape
    ((64, 18), (64,))
    """

    def __init__(
        self,
        airframe: Airframe,
        vehicles: int,
        task: Task = Task(),
        coefficients: Coefficients = START,
        terms: Sequence[RewardTerm] = (),
        inserts: Inserts | None = None,
    ) -> None:
        super().__init__(airframe, vehicles)
        self.task, differ, sensors = task, task.randomisation, task.randomisation.sensors
        self._observe_within((LIMITS + 10 * differ.noise * NOISE + 10 * _reach(sensors)).astype(np.float32))
        require_short_delays(airframe, differ)
        self.coefficients = coefficients
        self._terms = RewardTerms(terms, vehicles, airframe.hover) if terms else None
        moves = movement(airframe, RATE_HZ, differ.dead_time > 0, differ.rotor_loss.chance > 0)
        self._kernel, self._plant, self._extension = moves
        self._rules = (np.float32(task.box), np.float32(task.episode_steps), np.float32(airframe.hover))
        self._draw = (task.start.array(), randomisation.nominal(airframe), differ.array())
        if task.airframes:
            airframe_sampler.require_carrier(airframe, differ)
        delays = differ.delay > 0 or (task.airframes is not None and airframe.action_layout == "rates")
        self._late = LateCommands(airframe, vehicles) if delays else None
        self._noise = np.random.default_rng(0)
        self._errors = None if sensors.exact else SensorErrors(sensors, vehicles, RATE_HZ)
        self._sight = LateSight(vehicles) if sensors.late else None
        self._voltage: Floats | None = None
        self._voltage_noise = np.random.default_rng(0)
        self._pipeline: Pipeline | None = None
        for step, function in listed(inserts):
            self.insert(step, function)

    def insert(self, step: str, function: InsertFunction) -> None:
        """Call a function of yours at a named step of every control step, after those that are inserted there already.

        step: reset, state, actuation, wind, dynamics, reward, sensors or observation, see `pipeline.CHANGES`. function:
        takes a `StepView` of all vehicles, gives None or what changes. Raises UsageError, which is a ValueError, here for
        what cannot be inserted, and in `step` and `reset` for what the function gives.
        """
        if self._pipeline is None:
            self._pipeline = Pipeline(self.buffer, self.num_envs, self.airframe, RATE_HZ)
        self._pipeline.insert(step, function, self._seed)

    @property
    def inserted(self) -> bool:
        """Whether something is inserted."""
        return self._pipeline is not None

    @property
    def coefficients(self) -> Coefficients:
        """Weights of the reward; they may change between steps."""
        return self._coefficients

    @coefficients.setter
    def coefficients(self, coefficients: Coefficients) -> None:
        self._coefficients, self._weights = coefficients, coefficients.array()

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """Begin an episode in every vehicle; with a seed, from the first episode of that seed's sequence.

        options: {"reset_mask": who} begins one only in the vehicles with who[n], a bool array (N,). Raises ValueError.
        """
        who = self._beginning(seed, options)
        if seed is not None:
            self._noise = np.random.default_rng([self._seed, 4])
            self._voltage_noise = np.random.default_rng([self._seed, 5])
        observation = np.empty((self.num_envs, OBSERVATION_SIZE), np.float32)
        flat, hover = observation.ravel(), self._rules[2]
        episode_kernels.start(self.buffer, who, self._seed, self._draw, flat, hover, self._extension)
        self._exchange(who)
        if self._late:
            self._late.begin(who)
        if self._terms:
            self._terms.reset(who)
        self._voltage = None
        if pipeline := self._pipeline:
            if seed is not None:
                pipeline.seed(self._seed)
            pipeline.begin(who, observation, self._rules[2], self._extension)
            return self._seen(pipeline, observation, who), {}
        return self._sensed(observation, who), {}

    def step(self, actions: Floats) -> Stepped:
        """One control step of 10 ms for every vehicle. Actions (N, 4) beyond [-1, 1] are clipped.

        Gives observation (N, 18), reward (N,), terminated (N,): it left the box, truncated (N,): its time is over, info.
        Raises ValueError for actions of another shape.
        """
        actions = self._checked(actions)
        if self._late:
            actions = self._late.now(actions, self.read(DELAY).astype(int))
            self._late.begin(self.read(ENDED) > 0)
        observation = np.empty((self.num_envs, OBSERVATION_SIZE), np.float32)
        reward = np.empty(self.num_envs, np.float32)
        ends = np.empty((2, self.num_envs), np.bool_)
        episode = np.zeros((len(STATISTICS), self.num_envs), np.float32)
        results = (observation.ravel(), reward, ends, episode)
        pipeline = self._pipeline
        begun = self.read(ENDED) > 0 if self._terms or self._errors or self.task.airframes or pipeline else ends[0]
        if pipeline:
            actions = pipeline.before(actions, begun)
        split = pipeline and pipeline.has("dynamics")
        finished = self._kernel(
            self.buffer, actions, *self._plant, self._weights, self._rules, self._seed, self._draw,
            None if split else results,
        )  # fmt: skip
        if pipeline and split:
            pipeline.run("dynamics")
            rules = self._weights, self._rules, self._seed, self._draw
            finished = episode_kernels.finish(self.buffer, *rules, results, self._extension)
        self._exchange(begun)
        terminated, truncated = ends
        flight = dict(zip(STATISTICS, episode, strict=True)) if finished else {}  # 0 where an episode goes on
        if finished:
            flight["l"] = flight["l"].astype(np.int64)
        if self._terms:
            charge, sums = self._terms.charge(observation, self.read(dynamics.COMMAND_ROWS), begun)
            reward -= charge
            if finished:
                ended = terminated | truncated
                flight["r"] -= np.where(ended, self._terms.charged(), 0)
                flight |= {name: np.where(ended, cost, 0) for name, cost in sums.items()}
        if pipeline:
            reward = pipeline.rewarded(reward, flight)
            pipeline.begin(begun, observation, self._rules[2], self._extension)
        info = {"flight": flight, "_flight": terminated | truncated} if finished else {}
        self._voltage = None
        if pipeline is None:
            return self._sensed(observation, begun), reward, terminated, truncated, info
        observation = self._seen(pipeline, observation, begun)
        pipeline.after()
        return observation, reward, terminated, truncated, info

    def _exchange(self, begun: Flags) -> None:
        """Vehicles (N,) whose episode has just begun become those that are drawn for it."""
        if self.task.airframes:
            airframe_sampler.exchange(self.buffer, begun, self.task.airframes, self.airframe, self._seed)
            if self._extension is not None:
                dynamics.begin_extension_some(self.buffer, begun, self._rules[2], self._extension)

    def _seen(self, pipeline: Pipeline, observation: Floats, begun: Flags) -> Floats:
        """`_sensed`, with what is inserted before and after it."""
        observation = self._sensed(pipeline.run("sensors", observation), begun)
        return pipeline.run("observation", observation)

    def _sensed(self, observation: Floats, begun: Flags) -> Floats:
        """What the sensors make of the true observation; begun (N,): where an episode has just begun."""
        if self._errors:
            self._errors.begin(begun, self._noise)
            (errors,), (age,) = self._errors.advance(1, self._noise)
            if self._sight:
                target, heading = self.read(_TARGET_ROWS), self.read(_HEADING_ROWS)
                self._sight.begin(begun, observation, target)
                observation = self._sight.look(observation, target, heading, age)
            observation = disturbed(observation, errors.T)
        scale = np.float32(self.task.randomisation.noise)
        if not scale:
            return observation
        noise = self._noise.standard_normal(observation.shape, dtype=np.float32)
        sensed: Floats = observation + scale * NOISE * noise
        return sensed

    @property
    def voltage(self) -> Floats | None:
        """Voltages (N,) of the batteries as they are measured, V; None: the airframe has no battery.

        They are measured when they are first asked for in a step, since few policies want them.
        """
        if self._voltage is None and self.airframe.battery is not None:
            self._voltage = self.read(dynamics.VOLTAGE)
            if deviation := np.float32(self.task.randomisation.sensors.voltage):
                self._voltage += deviation * self._voltage_noise.standard_normal(self.num_envs, dtype=np.float32)
        return self._voltage

    @property
    def true_observation(self) -> Floats:
        """Observation (N, 18) without the sensors' noise; privileged."""
        return self.read(dynamics.OBSERVATION_ROWS)

    @property
    def disturbance(self) -> Floats:
        """Force (N, world) and torque (N m, body) on each vehicle, (N, 6); privileged.

        A read-only copy. Set all of it, and it lasts until the vehicle's next episode: `environment.disturbance = forces`.
        A force that changes is inserted, `environment.insert("wind", gust)`, and is seen here after the step.
        """
        acted = self._pipeline.acted if self._pipeline else None
        return read_only(self.read(dynamics.DISTURBANCE_ROWS) if acted is None else acted)

    @disturbance.setter
    def disturbance(self, values: Floats) -> None:
        found = np.asarray(values, np.float32)
        if found.shape != (self.num_envs, 6) or not np.isfinite(found).all():
            raise ValueError(f"disturbance: found shape {found.shape}, wanted ({self.num_envs}, 6) finite numbers")
        dynamics.write(self.buffer, dynamics.DISTURBANCE_ROWS, found)
        if self._pipeline:
            self._pipeline.acted = None

    @property
    def plant(self) -> Floats:
        """True parameters (N, PLANT_SIZE) in the order of `dynamics.nominal_plant`, a read-only copy; privileged."""
        return read_only(self.read(dynamics.PLANT_ROWS))


class SingleEnvironment(OneOfBatch):
    """One vehicle of `Environment`, as an ordinary Gymnasium environment: observations (18,), actions (4,).

    >>> from spike_ctrl.airframe import Airframe
    >>> observation, info = SingleEnvironment(Airframe.load("crazyflie")).reset(seed=1)
    """

    batch: Environment

    def __init__(
        self,
        airframe: Airframe,
        task: Task = Task(),
        coefficients: Coefficients = START,
        terms: Sequence[RewardTerm] = (),
        inserts: Inserts | None = None,
    ) -> None:
        super().__init__(Environment(airframe, 1, task, coefficients, terms, inserts))
        self.insert = self.batch.insert
