"""Train with the PPO of Stable-Baselines3 and fly the result in the evaluation beside the shipped policies.

    pip install stable-baselines3
    python examples/stable_baselines.py                    # 2 million steps, a minute on one core
    python examples/stable_baselines.py --steps 200000     # a first look

All vehicles fly in one batched environment. `Vehicles` shows it to Stable-Baselines3, which wants that a vehicle whose
episode ended starts the next one in the same step.
"""

import argparse
import time
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv

import spike_ctrl
from spike_ctrl.evaluation.evaluation_result import evaluation_table
from spike_ctrl.sim.reward import Coefficients
from spike_ctrl.sim.reward_shaping import derive

BOX = 1.5  # m
HOVER = spike_ctrl.Airframe.load("crazyflie").hover
# How far the reward lies above that of standing at the wall: never less than 0, or a crash would end a loss.
LEARNED = derive([Coefficients()], BOX, HOVER)


class Vehicles(VecEnv):
    """A batched environment of Gymnasium as a `VecEnv`."""

    def __init__(self, environment: gymnasium.vector.VectorEnv, seed: int):
        self.environment, self.first_seed = environment, seed
        super().__init__(environment.num_envs, environment.single_observation_space, environment.single_action_space)

    def reset(self) -> np.ndarray:
        return self.environment.reset(seed=self.first_seed)[0]

    def step_async(self, actions: np.ndarray) -> None:
        self.actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        observation, reward, terminated, truncated, _ = self.environment.step(self.actions)
        ended = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if ended.any():
            for vehicle in np.flatnonzero(ended):
                infos[vehicle]["terminal_observation"] = observation[vehicle]
                infos[vehicle]["TimeLimit.truncated"] = bool(truncated[vehicle])
            first, _ = self.environment.reset(options={"reset_mask": ended})
            observation = np.where(ended[:, None], first, observation)
        return observation, LEARNED(reward), ended, infos

    def close(self) -> None:
        self.environment.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.environment, attr_name, None)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self.environment, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        return [getattr(self.environment, method_name)(*args, **kwargs)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


def train(steps: int, seed: int, vehicles: int = 256) -> PPO:
    """A policy MLP 18-64-64-4 after so many steps of all vehicles together."""
    torch.set_num_threads(1)  # as fast for networks of this size
    environment = gymnasium.make_vec("spike_ctrl/Position-v0", num_envs=vehicles, box=BOX)
    model = PPO(
        "MlpPolicy", Vehicles(environment, seed), n_steps=32, batch_size=1024, n_epochs=3, gamma=0.99, clip_range=0.3,
        learning_rate=lambda left: 1e-3 * left, policy_kwargs={"log_std_init": -0.7}, seed=seed, device="cpu",
    )  # fmt: skip
    torch.nn.init.constant_(model.policy.action_net.bias, 2 * HOVER - 1)
    return model.learn(steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2_000_000, help="of all vehicles together")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    before = time.process_time()
    model = train(options.steps, options.seed)
    print(f"{options.steps} steps, {time.process_time() - before:.0f} s of CPU")
    flown = {"PPO of Stable-Baselines3": model, "crazyflie": "crazyflie", "crazyflie_td3bc": "crazyflie_td3bc"}
    guide = spike_ctrl.GeometricGuide("crazyflie")
    print(evaluation_table({name: spike_ctrl.evaluate(one) for name, one in (flown | {"geometric guide": guide}).items()}))


if __name__ == "__main__":
    main()
