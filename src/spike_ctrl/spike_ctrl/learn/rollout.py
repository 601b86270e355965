"""Rolling out: environment, guide, policy and jump start together, one tick at a time."""

from typing import NamedTuple

import numpy as np

from spike_ctrl.airframe import Airframe
from spike_ctrl.learn.jump_start import JumpStart
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
