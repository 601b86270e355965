"""Episodes of the position task over the batched dynamics, with Gymnasium's vector and single-vehicle interfaces.

Autoreset is Gymnasium's NEXT_STEP: the step that ends an episode returns its final observation; the next step ignores
its action, starts a new episode, and returns the first observation with reward 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from spike_ctrl._files.arrays import Flags, Floats, Number, Scalars
from spike_ctrl._files.kernel import inlined, kernel
from spike_ctrl.airframe import Airframe
from spike_ctrl.sim import dynamics, rate_loop
from spike_ctrl.sim.action_mapping import at_hover, command
from spike_ctrl.sim.dynamics import (
    AT,
    COMMAND,
    DELAY,
    ENDED,
    EPISODE,
    FASTMATH,
    LANES,
    OBSERVATION,
    RATE_SETPOINT,
    REWARD,
    ROWS,
    STEP,
    SUMS,
    TERMINATED,
    TRUNCATED,
    rk4_lane,
    unpack_arms,
)  # fmt: skip
from spike_ctrl.sim.observation import NOISE, observe_lane
from spike_ctrl.sim.observation import SIZE as OBSERVATION_SIZE
from spike_ctrl.sim.randomisation import MAX_DELAY, Randomisation, Start, draw
from spike_ctrl.sim.rate_loop import SUBSTEPS
from spike_ctrl.sim.reward import START, TERMS, Coefficients, costs
from spike_ctrl.sim.reward_terms import RewardTerm, RewardTerms

RATE_HZ = 100.0
STATISTICS = ("r", *(f"cost_{term}" for term in TERMS), "l")
LIMITS = np.repeat([1e3, 1.001, 1e3, 1e4], [3, 9, 3, 3])
"""Bounds of the observation space without noise (m, 1, m/s, rad/s): finite as wrappers want them; no flight gets near."""
_LANES, _SIZE, _command = np.uint64(LANES), np.uint64(OBSERVATION_SIZE), inlined(command)


Draws: TypeAlias = tuple[Floats, Floats, Floats]
"""What `randomisation.draw` takes: start, nominal plant, spread of the plants."""
Results: TypeAlias = tuple[Floats, Floats, Flags, Floats]
"""Where a step leaves its results: observations (flat), rewards, ends [2, N], statistics of episodes that ended."""
Stepped: TypeAlias = tuple[Floats, Floats, Flags, Flags, dict[str, Any]]
"""Observations, rewards, terminated, truncated, info."""


@dataclass(frozen=True)
class Task:
    """The position task: half-width of the box (m), steps of an episode, distribution of starts and of true plants."""

    box: float = 0.6
    episode_steps: int = 500
    start: Start = field(default_factory=Start)
    randomisation: Randomisation = field(default_factory=Randomisation)


@inlined
def _score_lane(buffer: Floats, lane: Number, weights: Scalars, box: Number, limit: Number, hover: Number) -> None:
    """Observation, reward, sums over the episode and end of the episode, after the dynamics have moved the vehicle."""
    zero, one = np.float32(0.0), np.float32(1.0)
    o = observe_lane(buffer, lane)
    u = (buffer[lane + AT[COMMAND]], buffer[lane + AT[COMMAND + 1]], buffer[lane + AT[COMMAND + 2]],
         buffer[lane + AT[COMMAND + 3]])  # fmt: skip
    flying = one - buffer[lane + AT[ENDED]]
    c = costs(o, u, hover)
    reward = weights[0] - weights[1] * c[0] - weights[2] * c[1] - weights[3] * c[2] - weights[4] * c[3]
    reward = reward if flying > zero else zero  # no product: after an ended flight it may be NaN
    step = buffer[lane + AT[STEP]] + flying
    # A NaN position is outside. Neither max() nor `and` here: the loop over lanes would no longer be vectorised.
    inside = one if (abs(o[0]) <= box) & (abs(o[1]) <= box) & (abs(o[2]) <= box) else zero
    terminated = flying * (one - inside)
    truncated = flying * inside * (one if step >= limit else zero)
    buffer[lane + AT[STEP]] = step
    buffer[lane + AT[REWARD]] = reward
    buffer[lane + AT[TERMINATED]] = terminated
    buffer[lane + AT[TRUNCATED]] = truncated
    buffer[lane + AT[SUMS]] += reward
    buffer[lane + AT[SUMS + 1]] += flying * c[0]
    buffer[lane + AT[SUMS + 2]] += flying * c[1]
    buffer[lane + AT[SUMS + 3]] += flying * c[2]
    buffer[lane + AT[SUMS + 4]] += flying * c[3]
    _store_observation(buffer, lane, o)


@inlined
def _store_observation(buffer: Floats, lane: Number, o: Scalars) -> None:
    buffer[lane + AT[OBSERVATION]] = o[0]
    buffer[lane + AT[OBSERVATION + 1]] = o[1]
    buffer[lane + AT[OBSERVATION + 2]] = o[2]
    buffer[lane + AT[OBSERVATION + 3]] = o[3]
    buffer[lane + AT[OBSERVATION + 4]] = o[4]
    buffer[lane + AT[OBSERVATION + 5]] = o[5]
    buffer[lane + AT[OBSERVATION + 6]] = o[6]
    buffer[lane + AT[OBSERVATION + 7]] = o[7]
    buffer[lane + AT[OBSERVATION + 8]] = o[8]
    buffer[lane + AT[OBSERVATION + 9]] = o[9]
    buffer[lane + AT[OBSERVATION + 10]] = o[10]
    buffer[lane + AT[OBSERVATION + 11]] = o[11]
    buffer[lane + AT[OBSERVATION + 12]] = o[12]
    buffer[lane + AT[OBSERVATION + 13]] = o[13]
    buffer[lane + AT[OBSERVATION + 14]] = o[14]
    buffer[lane + AT[OBSERVATION + 15]] = o[15]
    buffer[lane + AT[OBSERVATION + 16]] = o[16]
    buffer[lane + AT[OBSERVATION + 17]] = o[17]


@inlined
def _start_lane(buffer: Floats, lane: Number, seed: int, vehicle: int, draws: Draws) -> None:
    buffer[lane + AT[EPISODE]] += np.float32(1.0)
    buffer[lane + AT[ENDED]] = np.float32(0.0)
    buffer[lane + AT[STEP]] = np.float32(0.0)
    for row in range(5):
        buffer[lane + AT[SUMS + row]] = np.float32(0.0)
    draw(buffer, lane, seed, vehicle, draws[0], draws[1], draws[2])
    rate_loop.begin(buffer, lane)
    _store_observation(buffer, lane, observe_lane(buffer, lane))


@inlined
def _copy_observation(buffer: Floats, lane: Number, observation: Floats, vehicle: int) -> None:
    # Flat and unsigned, which is seven times as fast as observation[vehicle, i].
    for i in range(_SIZE):
        observation[vehicle * _SIZE + i] = buffer[lane + AT[OBSERVATION] + i * _LANES]


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def _start(buffer: Floats, who: Flags, seed: int, draws: Draws, observation: Floats) -> None:
    for vehicle in range(len(who)):
        lane = np.uint64(vehicle // LANES * ROWS * LANES + vehicle % LANES)
        if who[vehicle]:
            _start_lane(buffer, lane, seed, vehicle, draws)
        _copy_observation(buffer, lane, observation, np.uint64(vehicle))


@inlined
def _finish_block(
    buffer: Floats,
    base: Number,
    first: Number,
    used: Number,
    weights: Scalars,
    rules: Scalars,
    seed: int,
    draws: Draws,
    results: Results,
) -> int:
    """What follows the dynamics of one block: score, restart what had ended before, hand out the results; ends counted."""
    zero, finished = np.float32(0.0), 0
    box, limit, hover = rules
    observation, reward, ends, episode = results
    for lane in range(_LANES):
        _score_lane(buffer, base + lane, weights, box, limit, hover)
    for k in range(used):
        lane = base + k
        if buffer[lane + AT[ENDED]] > zero:
            _start_lane(buffer, lane, seed, first + k, draws)
        else:
            buffer[lane + AT[ENDED]] = buffer[lane + AT[TERMINATED]] + buffer[lane + AT[TRUNCATED]]
            if buffer[lane + AT[ENDED]] > zero:
                finished += 1
                episode[5, first + k] = buffer[lane + AT[STEP]]
                for i in range(5):
                    episode[i, first + k] = buffer[lane + AT[SUMS + i]]
    for k in range(used):
        lane = base + k
        _copy_observation(buffer, lane, observation, first + k)
        reward[first + k] = buffer[lane + AT[REWARD]]
        ends[0, first + k] = buffer[lane + AT[TERMINATED]] > zero
        ends[1, first + k] = buffer[lane + AT[TRUNCATED]] > zero
    return finished


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def _step(
    buffer: Floats,
    action: Floats,
    dt: Number,
    arms: Floats,
    weights: Floats,
    rules: Scalars,
    seed: int,
    draws: Draws,
    results: Results,
) -> int:
    """One control step of `motors` actions; returns how many episodes ended."""
    reach, w = unpack_arms(arms), (weights[0], weights[1], weights[2], weights[3], weights[4])
    finished = 0
    for block in range(buffer.size // (ROWS * LANES)):
        base, first = np.uint64(block * ROWS * LANES), np.uint64(block * LANES)
        used = np.uint64(min(LANES, len(action) - block * LANES))
        for k in range(used):
            for j in range(4):
                u = _command(action[first + k, j])
                buffer[base + k + AT[COMMAND + j]] = min(max(u, np.float32(0.0)), np.float32(1.0))
        for lane in range(_LANES):
            rk4_lane(buffer, base + lane, dt, reach)
        finished += _finish_block(buffer, base, first, used, w, rules, seed, draws, results)
    return finished


@kernel(cache=True, fastmath=FASTMATH, error_model="numpy", nogil=True)
def _step_rates(
    buffer: Floats,
    action: Floats,
    dt: Number,
    arms: Floats,
    loop: Floats,
    late: int,
    weights: Floats,
    rules: Scalars,
    seed: int,
    draws: Draws,
    results: Results,
) -> int:
    """One control step of `rates` actions, in force after `late` substeps of `dt`; returns how many episodes ended."""
    reach, w = unpack_arms(arms), (weights[0], weights[1], weights[2], weights[3], weights[4])
    c, spin = rate_loop.unpack(loop), (arms[8], arms[9], arms[10], arms[11])
    finished = 0
    for block in range(buffer.size // (ROWS * LANES)):
        base, first = np.uint64(block * ROWS * LANES), np.uint64(block * LANES)
        used = np.uint64(min(LANES, len(action) - block * LANES))
        for substep in range(SUBSTEPS + 1):
            if substep == late:
                for k in range(used):
                    for j in range(4):
                        a = min(max(action[first + k, j], np.float32(-1.0)), np.float32(1.0))
                        buffer[base + k + AT[RATE_SETPOINT + j]] = a
            if substep < SUBSTEPS:
                for lane in range(_LANES):
                    rate_loop.rate_lane(buffer, base + lane, c, spin)
                for lane in range(_LANES):
                    rk4_lane(buffer, base + lane, dt, reach)
        finished += _finish_block(buffer, base, first, used, w, rules, seed, draws, results)
    return finished


def _statistics(episode: Floats) -> dict[str, Floats]:
    """Return, summed costs and length of the episodes that ended; 0 where one goes on."""
    named = dict(zip(STATISTICS, episode, strict=True))
    return named | {"l": named["l"].astype(np.int64)}


class Environment(VectorEnv[Floats, Floats, Any]):
    """N vehicles flying the position task, each in episodes of its own: a Gymnasium vector environment.

    Actions float32 (N, 4) in [-1, 1], motors or rates as the airframe's layout says; observations float32 (N, 18): position
    error (3, m), rotation matrix (9, row-major), velocity (3, m/s), body rates (3, rad/s, FLU), in the set-point's frame.
    Equal seeds give equal runs: every start is a function of (seed, vehicle, episode). `info` holds return, length and
    summed costs of the episodes that ended under "flight", with the mask "_flight". terms: costs of your own beside those of
    the reward that `coefficients` weigh.

    >>> from spike_ctrl.airframe import Airframe
    >>> environment = Environment(Airframe.load("crazyflie"), vehicles=64)
    >>> observation, info = environment.reset(seed=1)
    >>> observation, reward, terminated, truncated, info = environment.step(environment.action_space.sample())
    >>> observation.shape, reward.shape
    ((64, 18), (64,))
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(
        self,
        airframe: Airframe,
        vehicles: int,
        task: Task = Task(),
        coefficients: Coefficients = START,
        terms: Sequence[RewardTerm] = (),
    ) -> None:
        if vehicles < 1:
            raise ValueError(f"vehicles: found {vehicles}, wanted at least 1")
        self.airframe, self.task = airframe, task
        self.num_envs = vehicles
        farthest = (LIMITS + 10 * task.randomisation.noise * NOISE).astype(np.float32)
        self.single_observation_space = gymnasium.spaces.Box(-farthest, farthest, dtype=np.float32)
        self.single_action_space = gymnasium.spaces.Box(-1.0, 1.0, (4,), np.float32)
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, vehicles)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, vehicles)
        self.buffer = dynamics.allocate(vehicles, airframe)
        self.coefficients = coefficients
        self._terms = RewardTerms(terms, vehicles, airframe.hover) if terms else None
        arms, dt = dynamics.geometry(airframe), 1.0 / RATE_HZ
        self._kernel: Callable[..., int] = _step
        self._plant: tuple[Any, ...] = np.float32(dt), arms
        if airframe.action_layout == "rates":
            dt /= SUBSTEPS
            loop, late = rate_loop.constants(airframe, dt), rate_loop.delay_substeps(airframe, dt)
            self._kernel, self._plant = _step_rates, (np.float32(dt), arms, loop, late)
        self._rules = (np.float32(task.box), np.float32(task.episode_steps), np.float32(airframe.hover))
        self._draw = (task.start.array(), dynamics.nominal_plant(airframe), task.randomisation.array())
        self._seed, self._noise = 0, np.random.default_rng(0)
        self._earlier = self._hovering()

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
        who = np.asarray((options or {}).get("reset_mask", np.ones(self.num_envs)), np.bool_)
        if who.shape != (self.num_envs,):
            raise ValueError(f"reset_mask: found shape {who.shape}, wanted ({self.num_envs},)")
        if seed is not None:
            if not isinstance(seed, (int, np.integer)):
                raise ValueError(f"seed: found {seed!r}, wanted one whole number: each vehicle's starts follow from it")
            self._seed = int(seed)
            dynamics.write(self.buffer, EPISODE, np.zeros(self.num_envs))
            self._noise = np.random.default_rng([self._seed, 4])
        observation = np.empty((self.num_envs, OBSERVATION_SIZE), np.float32)
        _start(self.buffer, who, self._seed, self._draw, observation.ravel())
        self._earlier = np.where(who[:, None], self._hovering(), self._earlier)
        if self._terms:
            self._terms.reset(who)
        return self._sensed(observation), {}

    def step(self, actions: Floats) -> Stepped:
        """One control step of 10 ms for every vehicle. Actions (N, 4) beyond [-1, 1] are clipped.

        Gives observation (N, 18), reward (N,), terminated (N,): it left the box, truncated (N,): its time is over, info.
        Raises ValueError for actions of another shape.
        """
        actions = np.ascontiguousarray(actions, np.float32)
        if actions.shape != (self.num_envs, 4):
            raise ValueError(f"actions: found shape {actions.shape}, wanted ({self.num_envs}, 4)")
        if self.task.randomisation.delay:
            actions = self._late(actions)
        observation = np.empty((self.num_envs, OBSERVATION_SIZE), np.float32)
        reward = np.empty(self.num_envs, np.float32)
        ends = np.empty((2, self.num_envs), np.bool_)
        episode = np.zeros((len(STATISTICS), self.num_envs), np.float32)
        results = (observation.ravel(), reward, ends, episode)
        begun = self.read(ENDED) > 0 if self._terms else np.empty(0, bool)
        finished = self._kernel(
            self.buffer, actions, *self._plant, self._weights, self._rules, self._seed, self._draw, results
        )  # fmt: skip
        terminated, truncated = ends
        info: dict[str, Any] = {"flight": _statistics(episode), "_flight": terminated | truncated} if finished else {}
        if self._terms:
            charge, sums = self._terms.charge(observation, self.read(dynamics.COMMAND_ROWS), begun)
            reward -= charge
            if finished:
                ended = info["_flight"]
                info["flight"]["r"] -= np.where(ended, self._terms.charged(), 0)
                info["flight"] |= {name: np.where(ended, cost, 0) for name, cost in sums.items()}
        return self._sensed(observation), reward, terminated, truncated, info

    def _hovering(self) -> Floats:
        return np.full((MAX_DELAY, self.num_envs, 4), at_hover(self.airframe), np.float32)

    def _late(self, actions: Floats) -> Floats:
        """The actions that take effect now: some given earlier; before an episode's first there was hover."""
        given = np.concatenate([self._earlier, actions[None]])
        late: Floats = given[MAX_DELAY - self.read(DELAY).astype(int), np.arange(self.num_envs)]
        self._earlier = np.where((self.read(ENDED) > 0)[:, None], self._hovering(), given[1:])
        return late

    def _sensed(self, observation: Floats) -> Floats:
        scale = np.float32(self.task.randomisation.noise)
        if not scale:
            return observation
        noise = self._noise.standard_normal(observation.shape, dtype=np.float32)
        sensed: Floats = observation + scale * NOISE * noise
        return sensed

    @property
    def true_observation(self) -> Floats:
        """Observation (N, 18) without the sensors' noise; privileged."""
        return self.read(dynamics.OBSERVATION_ROWS)

    def read(self, which: slice | int) -> Floats:
        """Rows of the state, vehicle by vehicle: see the row names in `dynamics`."""
        return dynamics.read(self.buffer, which, self.num_envs)

    @property
    def rotor_speed(self) -> Floats:
        """Normalised rotor speeds (N, 4); privileged."""
        return self.read(dynamics.ROTOR_ROWS)

    @property
    def disturbance(self) -> Floats:
        """Force (N, world) and torque (N m, body) on each vehicle, (N, 6); privileged."""
        return self.read(dynamics.DISTURBANCE_ROWS)

    @property
    def plant(self) -> Floats:
        """True parameters (N, PLANT_SIZE) in the order of `dynamics.nominal_plant`; privileged."""
        return self.read(dynamics.PLANT_ROWS)


class SingleEnvironment(gymnasium.Env[Floats, Floats]):
    """One vehicle of `Environment`, as an ordinary Gymnasium environment: observations (18,), actions (4,).

    >>> from spike_ctrl.airframe import Airframe
    >>> observation, info = SingleEnvironment(Airframe.load("crazyflie")).reset(seed=1)
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(
        self,
        airframe: Airframe,
        task: Task = Task(),
        coefficients: Coefficients = START,
        terms: Sequence[RewardTerm] = (),
    ) -> None:
        self.batch = Environment(airframe, 1, task, coefficients, terms)
        self.observation_space = self.batch.single_observation_space
        self.action_space = self.batch.single_action_space
        self.render_mode = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Begin an episode; with a seed, the first one of that seed's sequence."""
        super().reset(seed=seed)
        observation, _ = self.batch.reset(seed=seed)
        return observation[0], {}

    def step(self, action: Floats) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """One control step of 10 ms: see `Environment.step`."""
        observation, reward, terminated, truncated, info = self.batch.step(np.asarray(action)[None])
        info = {key: {k: v[0] for k, v in value.items()} for key, value in info.items() if key == "flight"}
        return observation[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), info
