"""TD3BC + JSRL as a method of the learner: replay buffer, updates of critics and actor, and what decays over the run."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import nn

from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.learn import device
from spike_ctrl.learn.actor import AveragedNetwork
from spike_ctrl.learn.critics import AdvantageCritic, CriticInputs, TwinCritic
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.learn.replay_buffer import HISTORY, QUADROTOR, Rows, SequenceBuffer, Sequences, Widths
from spike_ctrl.learn.td3bc import TD3BC, Critic
from spike_ctrl.sim.reward_shaping import ShapedReward

CRITICS: dict[str, type[Critic]] = {"twin": TwinCritic, "advantage": AdvantageCritic}


class OffPolicy:
    """Learns from stored flight, whoever flew it; needs no model of the vehicle.

    widths: of the rows; what is not a quadrotor has others, and no airframe. floored: what it then learns of the reward; for
    a quadrotor that follows from the recipe's task. updates: of critics and actor. Raises UsageError.
    """

    updates: type[TD3BC] = TD3BC

    def __init__(
        self,
        recipe: Recipe,
        airframe: Airframe | None,
        vehicles: int,
        seed: int,
        actor: nn.Module,
        generator: torch.Generator,
        widths: Widths = QUADROTOR,
        floored: ShapedReward | None = None,
    ):
        self.recipe, self.generator = recipe, generator
        self.sampler = np.random.default_rng([seed, 2])
        s = recipe.td3bc
        if s.reward == "floored" and floored is None:
            if airframe is None:
                wanted = "wanted the ShapedReward of the task where no airframe tells what a hover earns"
                raise UsageError(f"td3bc.reward: found 'floored', {wanted}")
            floored = recipe.task.floored(airframe.hover, s.exponent)
        self.algorithm = self.make_algorithm(actor, CriticInputs(s.history, widths, s.sizes), floored)
        enough = (2 * recipe.replay.window + HISTORY + 1) * vehicles
        if recipe.replay.capacity < enough:
            found = recipe.replay.capacity
            raise UsageError(f"replay.capacity: found {found}, wanted at least {enough} for {vehicles} vehicles")
        self.buffer = SequenceBuffer(recipe.replay.capacity, vehicles, s.history, widths)
        self.recorded: SequenceBuffer | None = None
        self.blind = False
        self._other_core = ThreadPoolExecutor(1) if s.at_once else None  # torch and our kernels leave Python's lock there

    def make_algorithm(self, actor: nn.Module, seen: CriticInputs, floored: ShapedReward | None) -> TD3BC:
        """The updates, with the critics of `make_critic`."""
        critic = self.make_critic(seen).to(device.of(actor))
        return self.updates(actor, critic, self.recipe.td3bc, self.recipe.schedule.learning_rate, floored)

    def make_critic(self, seen: CriticInputs) -> Critic:
        """The critics that the recipe asks for."""
        return CRITICS[self.recipe.td3bc.critic](self.recipe.critic_width, self.generator, seen)

    def learn_from(self, recorded: SequenceBuffer, blind: bool) -> None:
        """Draw from recorded flight too: all windows until there are some of our own flight, then half of them, as Ball et
        al. (2023) do. blind: the critics are not to know rotor speeds and disturbance, because the recordings do not.
        Raises UsageError where the recipe has reward terms or an inserted reward, which recomputed rewards lack."""
        if blind and (terms := self.recipe.task.terms):
            raise UsageError(f"task.terms: found {', '.join(terms)}, wanted none: the rewards of flights are recomputed")
        if blind and "reward" in self.recipe.task.insert:
            raise UsageError("task.insert: found reward, wanted none at this step: the rewards of flights are recomputed")
        self.recorded, self.blind = recorded, blind

    def receive(self, rows: Rows) -> None:
        if self.blind:
            rows = rows._replace(rotor_speed=np.zeros_like(rows.rotor_speed), disturbance=np.zeros_like(rows.disturbance))
        self.buffer.add(rows)

    def step_worth(self, reward: np.ndarray) -> np.ndarray:
        """By how much one more step alive with this reward (N,) raises the return of an episode that ends in a crash."""
        s, none = self.recipe.td3bc, np.zeros(len(reward), bool)
        later_crash = 0.0 if self.algorithm.floored else (1 - s.gamma) * s.crash_reward
        return self.algorithm.learned(reward, none) - later_crash

    def _sample(self, batch: int) -> Sequences:
        how = self.recipe.replay.window, self.recipe.td3bc.burn_in, self.sampler
        if self.recorded is None:
            return self.buffer.sample(batch, *how)
        if batch < 2 or not self.buffer.ready(self.recipe.replay.window):
            return self.recorded.sample(batch, *how)
        ours, theirs = self.buffer.sample(batch // 2, *how), self.recorded.sample(batch - batch // 2, *how)
        return Sequences(*(np.concatenate(pair, axis=min(1, pair[0].ndim - 1)) for pair in zip(ours, theirs, strict=True)))

    def update(self, progress: float, k: float, average: AveragedNetwork) -> dict[str, float]:
        """The updates of one iteration; nothing until windows can be drawn."""
        if self.recorded is None and not self.buffer.ready(self.recipe.replay.window):
            return {}
        s, schedule = self.recipe.td3bc, self.recipe.schedule
        bc = geometric(s.bc, s.bc_end, progress)
        rate = geometric(schedule.learning_rate, schedule.learning_rate_end, progress)
        self.algorithm.set_learning_rate(rate)
        ramp = (progress - s.q_from) / max(s.q_full - s.q_from, 1e-9)
        q = float(progress >= s.q_from) if s.q_full == s.q_from else min(1.0, max(0.0, ramp))
        self.algorithm.exchange()
        replay = self.recipe.replay
        samples = self._samples(s.critic_updates, replay.critic_batch)
        beside = self._other_core.submit(self._update_critics, list(samples), k) if self._other_core else None
        metrics = {} if beside else self._update_critics(samples, k)
        metrics |= self._update_actor(self._samples(s.actor_updates, replay.actor_batch), bc, q, k, average)
        metrics |= beside.result() if beside else {}
        return metrics | {"bc_weight": bc, "q_weight": q, "learning_rate": rate}

    def _samples(self, updates: int, batch: int) -> Iterator[Sequences]:
        """Each is drawn when it is asked for: by one thread alone, in the order of the updates."""
        return (self._sample(batch) for _ in range(updates))

    def _update_critics(self, samples: Iterable[Sequences], k: float) -> dict[str, float]:
        update = self.algorithm.update_critics
        losses = [update(self.algorithm.batch(sample), k, self.generator) for sample in samples]
        return {"critic_loss": float(np.mean(losses))} if losses else {}

    def _update_actor(
        self, samples: Iterable[Sequences], bc: float, q: float, k: float, average: AveragedNetwork
    ) -> dict[str, float]:
        found = []
        for sample in samples:
            found.append(self.algorithm.update_actor(self.algorithm.batch(sample), bc, q, k))
            average.follow(self.algorithm.actor)
        if not found:
            return {}
        means = {name: float(np.mean([losses[name] for losses, _ in found])) for name in found[0][0]}
        rates = np.mean([rates for _, rates in found], axis=0)
        return means | {f"spike_rate_{i}": float(rate) for i, rate in enumerate(rates)}

    def modules(self) -> dict[str, torch.nn.Module]:
        a = self.algorithm
        return {"actor_target": a.actor_target, "critic": a.critic, "critic_target": a.critic_target}

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"actor_optimiser": self.algorithm.actor_optimiser, "critic_optimiser": self.algorithm.critic_optimiser}

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and plain values beside modules and optimisers from which `restore` goes on."""
        return self.buffer.arrays(), {"count": self.buffer.count, "sampler": self.sampler.bit_generator.state}

    def restore(self, arrays: dict[str, np.ndarray], info: dict[str, Any]) -> None:
        self.buffer.restore(arrays, info["count"])
        self.sampler.bit_generator.state = info["sampler"]


def geometric(start: float, end: float, progress: float) -> float:
    """From `start` to `end` by equal factors, or by equal differences where one of them is 0."""
    return start * (end / start) ** progress if start > 0 and end > 0 else start + (end - start) * progress
