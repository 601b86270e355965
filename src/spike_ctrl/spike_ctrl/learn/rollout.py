"""Rolling out: environment, guide, policy and jump start together, one tick at a time."""

import math
from typing import NamedTuple

import numpy as np

from spike_ctrl.airframe import Airframe
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.learn.recipe_blocks import JumpStartSettings
from spike_ctrl.learn.replay_buffer import Rows
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl.sim.episode_flags import FIRST, GUIDE, TERMINATED, TRUNCATED


def training_environment(recipe: Recipe, airframe: Airframe, vehicles: int) -> Environment:
    """The vehicles that a recipe trains on."""
    t = recipe.task
    task = Task(
        box=t.box, episode_steps=t.episode_steps, start=t.start, randomisation=t.randomisation, airframes=t.airframes
    )
    return Environment(airframe, vehicles, task, terms=t.reward_terms(), inserts=t.inserts())


class VehicleStates(NamedTuple):
    """N vehicles before an action: flags uint8 (N,), observation (N, 18), rotors (N, 4), disturbance (N, 6), plant."""

    flags: np.ndarray
    observation: np.ndarray
    rotor_speed: np.ndarray
    disturbance: np.ndarray
    plant: np.ndarray | None


class JumpStart:
    """Hand-over of N vehicles from the guide to the policy, and the noise with which the policy explores (JSRL).

    The guide flies the beginning of each episode, the policy the rest; the guide's share shrinks. The policy runs from the
    first step, so that its membranes are settled when it takes over.

    With `spread`, each episode draws its own hand-over uniformly up to the horizon; without, all hand over exactly at it, as
    in the paper. The motors filter white noise away; noise that lasts as long as their lag (`noise_time`) moves the vehicle.
    `noise_spread`: each episode draws its own share of the noise, uniformly. Otherwise the policy is never seen to fly
    without: a spiking network in a steady hover repeats the same spikes, and does not answer small errors that noise would
    have made it answer.
    """

    def __init__(self, vehicles: int, seed: int, settings: JumpStartSettings):
        self.generator, self.spread = np.random.default_rng([seed, 1]), settings.spread
        # Correlation of the noise from one step to the next, at 100 Hz
        self.memory = np.float32(math.exp(-1 / (100 * settings.noise_time)) if settings.noise_time else 0.0)
        self.noise_spread = settings.noise_spread
        self.hand_over = np.zeros(vehicles)
        self.loudness = np.ones(vehicles, np.float32)
        self._noise = np.zeros((vehicles, 4), np.float32)  # of unit deviation

    def begin(self, first: np.ndarray, horizon: float) -> None:
        """Draw the hand-over step of every vehicle whose episode starts (mask `first`, (N,)). horizon: steps."""
        share = self.generator.random(len(first)) if self.spread else 1.0
        self.hand_over = np.where(first, share * horizon, self.hand_over)
        if self.noise_spread:
            self.loudness = np.where(first, self.generator.random(len(first), np.float32), self.loudness)

    def act(self, step: np.ndarray, policy: np.ndarray, guide: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
        """Actions (N, 4) in [-1, 1] that fly, and the mask (N,) of vehicles flown by the guide.

        step (N,): steps of the episode flown so far. Only the policy's actions get Gaussian noise of that deviation.
        """
        by_guide = step < self.hand_over
        fresh = self.generator.standard_normal(policy.shape, np.float32)
        memory = np.where((step == 0)[:, None], np.float32(0), self.memory)
        self._noise = memory * self._noise + np.sqrt(1 - memory**2) * fresh
        explored = policy + noise * self.loudness[:, None] * self._noise
        action = np.where(by_guide[:, None], guide, explored)
        return np.clip(action, -1, 1, out=action).astype(np.float32, copy=False), by_guide


class Rollout:
    """The simulator's side of training: shows what it sees, takes the guide's and the policy's action, gives rows."""

    def __init__(self, environment: Environment, seed: int, settings: JumpStartSettings = JumpStartSettings(spread=True)):
        self.environment = environment
        self.jump_start = JumpStart(environment.num_envs, seed, settings)
        self._observation, _ = environment.reset(seed=seed)
        self._flags = np.full(environment.num_envs, FIRST, np.uint8)
        self._step = np.zeros(environment.num_envs)

    def see(self) -> VehicleStates:
        environment = self.environment
        task = environment.task
        known = task.randomisation.exact and task.airframes is None and not environment.inserted
        plant = None if known else environment.plant
        return VehicleStates(self._flags, self._observation, environment.rotor_speed, environment.disturbance, plant)

    def fly(self, seen: VehicleStates, policy: np.ndarray, guide: np.ndarray, horizon: float, noise: float) -> Rows:
        """One step: hand over as the jump start says, move the vehicles, and return the rows of this tick."""
        first = (seen.flags & FIRST) > 0
        self._step = np.where(first, 0, self._step)
        self.jump_start.begin(first, horizon)
        action, by_guide = self.jump_start.act(self._step, policy, guide, noise)
        final = (seen.flags & (TERMINATED | TRUNCATED)) > 0
        self._observation, reward, terminated, truncated, _ = self.environment.step(action)
        self._step += 1
        self._flags = (FIRST * final + TERMINATED * terminated + TRUNCATED * truncated).astype(np.uint8)
        flags = seen.flags | (GUIDE * by_guide).astype(np.uint8)
        return Rows(flags, seen.observation, seen.rotor_speed, seen.disturbance, action, guide, reward)
