"""The library's own TD3BC on Gymnasium's Pendulum-v1: no quadrotor, no guide, a small spiking network.

    python -m examples.pendulum --seed 0

It learns from the reward alone (bc 0), through the protocol that the learner uses: `receive` a tick of all pendulums,
`update` after each iteration. What it learns of the reward follows from the worst and the best that the task can give. A
mean return of -200 counts as solved.
"""

import argparse
import time
from collections.abc import Callable

import gymnasium
import numpy as np
import torch

from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.actor import AveragedNetwork
from spike_ctrl.learn.off_policy import OffPolicy
from spike_ctrl.learn.replay_buffer import Rows, Widths
from spike_ctrl.learn.training_process import training_process
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.sim.episode_flags import FIRST, TERMINATED, TRUNCATED
from spike_ctrl.sim.reward_shaping import ShapedReward
from spike_ctrl.snn.network import SpikingNetwork

PENDULUM = Widths(observation=3, action=1, rotor_speed=0, disturbance=0)
PENDULUMS, TORQUE, EPISODE, SLOPE, NOISE = 16, 2.0, 200, 5.0, 0.3
TICKS = 40  # of an iteration
LEARNED = ShapedReward(floor=-(np.pi**2 + 0.1 * 8**2 + 0.001 * TORQUE**2), best=0.0)  # Pendulum-v1: hanging, at full speed

RECIPE = recipes.from_dict(
    {
        "name": "pendulum",
        "replay": {"capacity": 131072, "window": 20, "critic_batch": 32, "actor_batch": 32},
        "td3bc": {
            "burn_in": 5, "history": 0, "gamma": 0.98, "td_lambda": 0.0, "tau": 0.01, "alpha": 1.0, "bc": 0.0, "bc_end": 0.0,
            "critic_updates": 20, "actor_updates": 10,
        },
        "critic_width": 64,
        "schedule": {"learning_rate": 1.0e-3, "learning_rate_end": 1.0e-3},
    }
)  # fmt: skip


def train(seed: int, iterations: int, show: Callable[[int, float], None] = lambda done, score: None) -> SpikingPolicy:
    """Fly and learn; `show` gets the iterations done and the mean return of the averaged policy now and then."""
    generator, random = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    actor = SpikingNetwork((3, 64, 64, 1), generator=generator)
    average = AveragedNetwork(actor, 0.005)
    method = OffPolicy(RECIPE, None, PENDULUMS, seed, actor, generator, PENDULUM, LEARNED)
    environment = gymnasium.make_vec("Pendulum-v1", num_envs=PENDULUMS)
    observation, _ = environment.reset(seed=seed)
    flags = np.full(PENDULUMS, FIRST, np.uint8)
    state = SpikingPolicy(actor.weights()).initial_state(PENDULUMS)
    for iteration in range(1, iterations + 1):
        policy = SpikingPolicy(actor.weights())
        for _ in range(TICKS):
            state = policy.reset_rows(state, (flags & FIRST) > 0)
            action, state = policy.step(_scaled(observation), state)
            action = np.clip(action + NOISE * random.standard_normal(action.shape), -1, 1).astype(np.float32)
            after, reward, terminated, truncated, _ = environment.step(TORQUE * action)
            nothing = np.zeros((PENDULUMS, 0), np.float32)
            rows = (flags, _scaled(observation), nothing, nothing, action, action, reward.astype(np.float32))
            method.receive(Rows(*rows))
            ended = (flags & (TERMINATED | TRUNCATED)) > 0
            flags = (FIRST * ended + TERMINATED * terminated + TRUNCATED * truncated).astype(np.uint8)
            observation = after
        method.update(iteration / iterations, SLOPE, average)
        if iteration % 20 == 0 or iteration == iterations:
            show(iteration, evaluate(SpikingPolicy(average.network.weights())))
    return SpikingPolicy(average.network.weights())


def evaluate(policy: SpikingPolicy, episodes: int = 100, seed: int = 1_000_003) -> float:
    """Mean return of some episodes of 200 steps."""
    environment = gymnasium.make_vec("Pendulum-v1", num_envs=episodes)
    observation, _ = environment.reset(seed=seed)
    state, total = policy.initial_state(episodes), np.zeros(episodes)
    for _ in range(EPISODE):
        action, state = policy.step(_scaled(observation), state)
        observation, reward, _, _, _ = environment.step(TORQUE * action)
        total += reward
    return float(total.mean())


def _scaled(observation: np.ndarray) -> np.ndarray:
    """cos, sin and angular velocity (rad/s, up to 8) brought to order 1."""
    return (observation * np.array([1, 1, 0.25])).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--iterations", type=int, default=200)
    options, started = parser.parse_args(), time.monotonic()

    def show(done: int, score: float) -> None:
        updates = done * RECIPE.td3bc.critic_updates
        print(f"{updates:6d} critic updates, mean return {score:7.1f}, {time.monotonic() - started:4.0f} s", flush=True)

    with training_process():
        train(options.seed, options.iterations, show)


if __name__ == "__main__":
    main()
