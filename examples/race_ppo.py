"""Train the network of `racer_gates` on the racing task by the library's PPO, from rewards alone.

    python examples/race_ppo.py -o ppo.safetensors --steps 40000000
    spike-ctrl race ppo.safetensors --drawn 300 --seed 21

PPO's critic takes the quadrotor's 18 numbers; here it takes the 30 of a race. At a learning rate of 7e-4 it
learns nothing in five million steps.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from spike_ctrl import Airframe
from spike_ctrl._files import provenance
from spike_ctrl.learn import actor as actors
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.actor import AveragedNetwork
from spike_ctrl.learn.adam import Adam
from spike_ctrl.learn.ppo import PPO
from spike_ctrl.learn.replay_buffer import Rows
from spike_ctrl.sim.episode_flags import FIRST, TERMINATED, TRUNCATED
from spike_ctrl.sim.randomisation import InitialStates
from spike_ctrl.snn.network_state import restart
from spike_ctrl_racing import race_recipe, race_training
from spike_ctrl_racing.race_kernels import SIZE
from spike_ctrl_racing.race_reward import RaceReward
from spike_ctrl_racing.race_training import SCALE
from spike_ctrl_racing.racing_environment import RacingEnvironment, RacingTask

VEHICLES, TICKS, SLOPE = 256, 64, 5.0
ROTORS = 4  # numbers that the critic sees besides
RECIPE = {
    "name": "race_ppo", "base": "ppo",
    "ppo": {"exponent": 1.0, "gamma": 0.995, "deviation": 0.5, "deviation_end": 0.1, "epochs": 3, "sequences": 64},
    "schedule": {"learning_rate": 2e-3, "learning_rate_end": 1e-5, "averaging": 0.02},
}  # fmt: skip
REWARD = RaceReward(gate=3.0, end=5.0, roughness=0.0005)


class RacePPO(PPO):
    """PPO whose critic sees a race, and which learns from the reward as it is."""

    def __init__(self, recipe: Any, airframe: Airframe, vehicles: int, seed: int, actor: Any, generator: torch.Generator):
        super().__init__(recipe, airframe, vehicles, seed, actor, generator)
        with actors.seeded(generator):
            self.critic.layers[0] = nn.Linear(SIZE + ROTORS, recipe.critic_width)
        self.optimiser = Adam([*actor.parameters(), *self.critic.parameters(), *self.noise])
        self.step_worth = np.asarray


def train(steps: int, seed: int, show: Any) -> Any:
    """The averaged network after so many steps of all vehicles together; it takes observations divided by SCALE."""
    craft, recipe = Airframe.load("racer"), recipes.from_dict(RECIPE)
    like = race_recipe.load("racer_gates")
    actor, generator = race_training.network(like.hidden, craft, seed), torch.Generator().manual_seed(seed + 1)
    method, average = RacePPO(recipe, craft, VEHICLES, seed, actor, generator), AveragedNetwork(actor, 0.02)
    starts = InitialStates(at_target=0.0, position=0.4, tilt=0.2, velocity=1.0, rates=1.0, yaw=0.5)
    task = RacingTask(like.tracks, rounds=1000, episode_steps=1000, anywhere=1.0, back=4.0, speed=4.0, start=starts)
    world = RacingEnvironment(craft, VEHICLES, task, REWARD)
    seen, _ = world.reset(seed=seed)
    flags, blank = np.full(VEHICLES, FIRST, np.uint8), np.zeros((VEHICLES, 6), np.float32)
    state = actor.initial_state(VEHICLES)
    flown, passed = 0, [0.0]
    while flown < steps:
        for _ in range(TICKS):
            seen = seen / SCALE
            with torch.no_grad():
                action, state = actors.step(actor, torch.from_numpy(seen), state, SLOPE)
            chosen, rotors = method.explore(seen, action.numpy()), world.rotor_speed
            after, reward, terminated, truncated, info = world.step(chosen.clip(-1, 1))
            method.receive(Rows(flags, seen, rotors, blank, chosen, chosen, reward))
            first = (flags & (TERMINATED | TRUNCATED)) > 0  # the environment has begun a new flight in this step
            flags = (FIRST * first + TERMINATED * terminated + TRUNCATED * truncated).astype(np.uint8)
            state, seen = restart(actor, state, torch.from_numpy(first)), after
            if info:
                passed = [*passed[-300:], *info["flight"]["passed"][info["_flight"]]]
        flown += TICKS * VEHICLES
        found = method.update(min(1.0, flown / steps), SLOPE, average)
        show(flown, {"gates": float(np.mean(passed)), "deviation": found["deviation"]})
    return average.network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="file of the trained policy")
    parser.add_argument("--steps", type=int, default=40_000_000, help="of all vehicles together")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    begun = time.process_time()

    def show(flown: int, figures: dict[str, float]) -> None:
        if flown // (TICKS * VEHICLES) % 20 == 0:
            told = ", ".join(f"{name} {value:.2f}" for name, value in figures.items())
            print(f"{flown / 1e6:.1f} million steps, {time.process_time() - begun:.0f} s, {told}", file=sys.stderr)

    network = train(options.steps, options.seed, show)
    origin = "race_ppo", options.seed, provenance.command(), provenance.commit()
    race_training.save(options.output, network, Airframe.load("racer"), *origin)
    print(f"{options.output}: {options.steps} steps in {time.process_time() - begun:.0f} s of CPU")


if __name__ == "__main__":
    main()
