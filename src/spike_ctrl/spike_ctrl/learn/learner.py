"""The learner: rows of flight go in, a better policy comes out. Used by the learner node and by `spike-ctrl train`.

It knows neither processes nor clocks. An iteration is a fixed number of vehicle-steps; all schedules follow the steps
flown, so that a run depends on its recipe and seed alone.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from dataclasses import dataclass

import numpy as np
import torch

from spike_ctrl.airframe import Airframe
from spike_ctrl.checkpoint import Contract
from spike_ctrl.environment import RATE_HZ
from spike_ctrl.evaluate import VALIDATION_SEED, Evaluation, PolicyController, evaluate
from spike_ctrl.learn.buffer import FIRST, GUIDE, HISTORY, TERMINATED, TRUNCATED, Rows, SequenceBuffer
from spike_ctrl.learn.critic import TwinCritic
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.learn.td3bc import TD3BC
from spike_ctrl.observation import LAYOUT
from spike_ctrl.snn import slope
from spike_ctrl.snn.network import SpikingNetwork, average_
from spike_ctrl.snn.neuron import Neuron, Reset
from spike_ctrl.snn.runtime import SpikingPolicy

RECENT_EPISODES = 1000
VALIDATION_STARTS = 256
MAX_TICKS = 200  # of an iteration: two of them must fit into the queues of the graph
FAST_AVERAGING_UPDATES = 200  # until then the average forgets the untrained network faster


@dataclass(frozen=True)
class Leave:
    """How the simulator flies the next iteration: guide's steps, exploration noise, progress of the reward curriculum."""

    horizon: float
    noise: float
    curriculum: float


class Learner:
    """Replay buffer, algorithm, schedules, averaged policy; see the module."""

    def __init__(self, recipe: Recipe, airframe: Airframe, vehicles: int, seed: int):
        torch.set_num_threads(1)
        self.recipe, self.airframe, self.vehicles, self.seed = recipe, airframe, vehicles, seed
        self.generator = torch.Generator().manual_seed(seed)
        self.sampler = np.random.default_rng([seed, 2])
        network = recipe.network
        self.neuron = Neuron(Reset(network.reset), network.detach_reset)
        self.sizes = (18, *network.hidden, 4)
        hover = math.atanh(2 * airframe.hover - 1)
        actor = SpikingNetwork(self.sizes, self.neuron, generator=self.generator, output_bias=[hover] * 4)
        critic = TwinCritic(recipe.critic_width, self.generator)
        self.algorithm = TD3BC(actor, critic, recipe.td3bc, recipe.schedule.learning_rate)
        self.average = copy.deepcopy(actor).requires_grad_(False)
        enough = (2 * recipe.replay.window + HISTORY + 1) * vehicles
        if recipe.replay.capacity < enough:
            found = recipe.replay.capacity
            raise ValueError(f"replay.capacity: found {found}, wanted at least {enough} for {vehicles} vehicles")
        self.buffer = SequenceBuffer(recipe.replay.capacity, vehicles)
        self.slopes = slope.from_config(network.slope)
        self.slope_state = self.slopes.initial()
        self.environment_steps = self.iterations = self.critic_updates = self.actor_updates = 0
        self._guide: deque[float] = deque(maxlen=self.ticks_per_iteration)
        self._returns, self._lengths = np.zeros(vehicles), np.zeros(vehicles)
        self._episodes: deque[tuple[float, float, bool]] = deque(maxlen=RECENT_EPISODES)

    @property
    def progress(self) -> float:
        """Share of the recipe's vehicle-steps that are flown, 0 to 1."""
        return min(1.0, self.environment_steps / self.recipe.schedule.steps)

    @property
    def ticks_per_iteration(self) -> int:
        return max(1, min(MAX_TICKS, self.recipe.schedule.iteration_steps // self.vehicles))

    @property
    def finished(self) -> bool:
        return self.environment_steps >= self.recipe.schedule.steps

    def leave(self) -> Leave:
        """How the vehicles are to fly from here on."""
        jump, progress = self.recipe.jump_start, self.progress
        share = min(1.0, progress / jump.until) if jump.until > 0 else 1.0
        horizon = jump.horizon + (jump.rest - jump.horizon) * share
        stage = {"start": 0.0, "end": 1.0, "curriculum": progress}[self.recipe.task.reward]
        return Leave(horizon, jump.noise, stage)

    def receive(self, rows: Rows) -> None:
        """Store one tick of all vehicles and keep account of their episodes."""
        self.buffer.add(rows)
        first = (rows.flags & FIRST) > 0  # also after a restart that cut an episode off
        self._returns[first] = self._lengths[first] = 0.0
        self.environment_steps += self.vehicles
        flown = (rows.flags & (TERMINATED | TRUNCATED)) == 0
        self._guide.append(((rows.flags & GUIDE) > 0).sum() / max(flown.sum(), 1))
        ended = (rows.flags & (TERMINATED | TRUNCATED)) > 0
        for vehicle in np.flatnonzero(ended):
            crashed = bool(rows.flags[vehicle] & TERMINATED)
            self._episodes.append((self._returns[vehicle], self._lengths[vehicle], crashed))
        self._returns = np.where(ended, 0.0, self._returns + rows.reward)
        self._lengths = np.where(ended, 0.0, self._lengths + 1)

    def iterate(self) -> dict[str, float]:
        """The updates of one iteration; returns what there is to log. Without enough data yet: nothing is updated."""
        schedule, progress = self.recipe.schedule, self.progress
        self.iterations += 1
        metrics: dict[str, float] = {}
        score = self._scaled_return()
        if score is not None:
            self.slope_state = self.slopes.update(self.slope_state, score, progress)
        k = self.slope_state.k
        if self.buffer.ready(self.recipe.replay.window):
            bc = _geometric(schedule.bc, schedule.bc_end, progress)
            rate = _geometric(schedule.learning_rate, schedule.learning_rate_end, progress)
            self.algorithm.set_learning_rate(rate)
            ramp = (progress - schedule.q_from) / max(schedule.q_full - schedule.q_from, 1e-9)
            q = float(progress >= schedule.q_from) if schedule.q_full == schedule.q_from else min(1.0, max(0.0, ramp))
            metrics |= self._update_critics(k) | self._update_actor(bc, q, k)
            metrics |= {"bc_weight": bc, "q_weight": q, "learning_rate": rate}
        return metrics | self._flight_metrics() | {"slope": k, "progress": progress}

    def _update_critics(self, k: float) -> dict[str, float]:
        replay, losses = self.recipe.replay, []
        for _ in range(self.recipe.schedule.critic_updates):
            sample = self.buffer.sample(replay.critic_batch, replay.window, self.recipe.td3bc.burn_in, self.sampler)
            losses.append(self.algorithm.update_critics(self.algorithm.batch(sample), k, self.generator))
            self.critic_updates += 1
        return {"critic_loss": float(np.mean(losses))} if losses else {}

    def _update_actor(self, bc: float, q: float, k: float) -> dict[str, float]:
        replay, found = self.recipe.replay, []
        for _ in range(self.recipe.schedule.actor_updates):
            sample = self.buffer.sample(replay.actor_batch, replay.window, self.recipe.td3bc.burn_in, self.sampler)
            found.append(self.algorithm.update_actor(self.algorithm.batch(sample), bc, q, k))
            self.actor_updates += 1
            early = self.actor_updates < FAST_AVERAGING_UPDATES
            rate = self.recipe.schedule.averaging
            average_(self.average, self.algorithm.actor, max(rate, 0.05) if early else rate)
        if not found:
            return {}
        means = {name: float(np.mean([losses[name] for losses, _ in found])) for name in found[0][0]}
        rates = np.mean([rates for _, rates in found], axis=0)
        return means | {f"spike_rate_{i}": float(rate) for i, rate in enumerate(rates)}

    def _scaled_return(self) -> float | None:
        """Mean return of recent episodes as if they had 500 steps, the scale of the slope schedules."""
        if not self._episodes:
            return None
        return 500 * float(np.mean([r for r, _, _ in self._episodes])) / self.recipe.task.episode_steps

    def _flight_metrics(self) -> dict[str, float]:
        metrics = {"environment_steps": self.environment_steps, "guide_share": np.mean(self._guide) if self._guide else 0.0}
        if self._episodes:
            returns, lengths, crashed = (np.array(column, float) for column in zip(*self._episodes, strict=True))
            metrics |= {"return": returns.mean(), "length": lengths.mean(), "survival": 1 - crashed.mean()}
        return {name: float(value) for name, value in metrics.items()}

    def contract(self) -> Contract:
        """What the policy is for, as its checkpoints say."""
        airframe = self.airframe
        return Contract(
            airframe.name, airframe.hash, LAYOUT, airframe.action_layout, RATE_HZ, self.sizes, Neuron(self.neuron.reset)
        )

    def flying_weights(self) -> dict[str, np.ndarray]:
        """The weights that explore."""
        return self.algorithm.actor.weights()

    def averaged_weights(self) -> dict[str, np.ndarray]:
        """The averaged weights, which are evaluated and shipped."""
        return self.average.weights()

    def validate(self) -> Evaluation:
        """The averaged policy on starts of its own, never those of the frozen evaluation."""
        policy = SpikingPolicy(self.averaged_weights(), self.neuron)
        return evaluate(PolicyController(policy), self.airframe, seed=VALIDATION_SEED, starts=VALIDATION_STARTS)

    def state(self) -> tuple[dict[str, np.ndarray], dict]:
        """Arrays and plain values from which `restore` goes on; episodes in flight are not kept."""
        arrays = {f"buffer.{name}": value for name, value in self.buffer.arrays().items()}
        for name, module in self._modules().items():
            arrays |= {f"{name}.{key}": value.detach().numpy() for key, value in module.state_dict().items()}
        for name, optimiser in self._optimisers().items():
            for index, moments in optimiser.state_dict()["state"].items():
                arrays |= {f"{name}.{index}.{key}": np.asarray(value) for key, value in moments.items()}
        arrays["generator"] = self.generator.get_state().numpy()
        counters = ("environment_steps", "iterations", "critic_updates", "actor_updates")
        info = {name: getattr(self, name) for name in counters} | {
            "buffer_count": self.buffer.count,
            "slope": self.slope_state.to_dict(),
            "sampler": self.sampler.bit_generator.state,
            "episodes": [list(map(float, episode)) for episode in self._episodes],
            "vehicles": self.vehicles,
            "seed": self.seed,
        }
        return arrays, info

    def restore(self, arrays: dict[str, np.ndarray], info: dict) -> None:
        """Put back what `state` returned. Raises ValueError where the run had other vehicles or another seed."""
        for name in ("vehicles", "seed"):
            if info[name] != getattr(self, name):
                raise ValueError(f"{name}: found {getattr(self, name)}, wanted {info[name]} as in the run to resume")
        self.buffer.restore(_under(arrays, "buffer."), info["buffer_count"])
        for name, module in self._modules().items():
            found = {key: torch.from_numpy(value.copy()) for key, value in _under(arrays, f"{name}.").items()}
            for key, value in module.state_dict().items():
                shape = tuple(found[key].shape) if key in found else "nothing"
                if shape != tuple(value.shape):
                    raise ValueError(f"{name}.{key}: found {shape}, wanted {tuple(value.shape)} as the recipe says")
            module.load_state_dict(found)
        for name, optimiser in self._optimisers().items():
            moments: dict[int, dict[str, torch.Tensor]] = {}
            for key, value in _under(arrays, f"{name}.").items():
                index, _, moment = key.partition(".")
                moments.setdefault(int(index), {})[moment] = torch.from_numpy(np.array(value))
            optimiser.load_state_dict(optimiser.state_dict() | {"state": moments})
        self.generator.set_state(torch.from_numpy(arrays["generator"].copy()))
        for name in ("environment_steps", "iterations", "critic_updates", "actor_updates"):
            setattr(self, name, info[name])
        self.slope_state = slope.SlopeState.from_dict(info["slope"])
        self.sampler.bit_generator.state = info["sampler"]
        self._episodes.extend((r, length, bool(crashed)) for r, length, crashed in info["episodes"])

    def _modules(self) -> dict[str, torch.nn.Module]:
        a = self.algorithm
        return {
            "actor": a.actor,
            "actor_target": a.actor_target,
            "critic": a.critic,
            "critic_target": a.critic_target,
            "average": self.average,
        }

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"actor_optimiser": self.algorithm.actor_optimiser, "critic_optimiser": self.algorithm.critic_optimiser}


def _geometric(start: float, end: float, progress: float) -> float:
    return start * (end / start) ** progress if start > 0 and end > 0 else start + (end - start) * progress


def _under(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
