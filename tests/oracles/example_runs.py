"""Short trainings of what is in examples/: by imitation of a teacher, through the model, by an algorithm of one's own."""

import itertools

import numpy as np

from spike_ctrl import airframe
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.replay_buffer import Rows
from spike_ctrl.learn.run import Run
from spike_ctrl.learn.training_loop import train
from spike_ctrl.sim.environment import Environment
from spike_ctrl.sim.episode_flags import FIRST

AIRFRAME, VEHICLES = airframe.load("crazyflie"), 16
IMITATION = {
    "task": {"box": 1.5, "episode_steps": 50, "reward": {"position": 2}, "terms": {
        "smooth": {"function": "examples.reward_terms:smooth", "weight": 0.1},
        "level": {"function": "examples.reward_terms:level", "weight": 0.1}}},
    "guide": {"class": "examples.teacher:SmoothGuide", "share": 0.6},
    "jump_start": {"horizon": 50, "rest": 0, "until": 0.5, "spread": True},
    "replay": {"capacity": 8192, "window": 10, "critic_batch": 8, "actor_batch": 16},
    "td3bc": {"label": "guide", "burn_in": 2, "critic_updates": 1, "actor_updates": 10, "bc": 1, "bc_end": 1, "q_from": 0.9,
              "q_full": 1},
    "critic_width": 16,
    "schedule": {"steps": 6400, "iteration_steps": 320, "learning_rate": 5e-3, "evaluations": 1},
}  # fmt: skip
GRADIENT = {
    "algorithm": "bptt",
    "task": {"box": 1.5, "episode_steps": 25, "reward": "end"},
    "jump_start": {"horizon": 0, "rest": 0, "noise": 0.1},
    "bptt": {"updates": 10, "vehicles": 32, "pool": 32, "segment": 20},
    "schedule": {"steps": 3200, "iteration_steps": 320, "learning_rate": 1e-2, "evaluations": 1},
}
OWN = {
    "algorithm": {"class": "examples.reinforce:Reinforce", "gamma": 0.95},
    "task": {"box": 1.5, "episode_steps": 50, "reward": "start"},
    "jump_start": {"horizon": 0, "rest": 0, "noise": 0},
    "schedule": {"steps": 3200, "iteration_steps": 320, "evaluations": 1},
}


def recipe(settings, **more):
    return recipes.from_dict({"name": "example"} | settings | more)


def about():
    return {"clock": itertools.count().__next__, "command": "spike-ctrl train", "commit": ""}


def run_of(folder, settings, **more):
    return Run.start(folder, recipe(settings, **more), AIRFRAME, VEHICLES, 0, **about())


def flown(run, iterations=None):
    """Train and give the lines of metrics that tell of updates."""
    found, left = [], iter(range(10**9 if iterations is None else iterations))
    run.report = found.append
    train(run, lambda line: None, lambda: next(left, None) is None)
    return [line for line in found if "actor_loss" in line]


def told_where_to_start(learner):
    """The learner receives the first states of an episode of each vehicle."""
    count = learner.vehicles
    environment = Environment(learner.airframe, count)
    environment.reset(seed=0)
    flags, zeros = np.full(count, FIRST, np.uint8), np.zeros((count, 4), np.float32)
    seen = environment.true_observation, environment.rotor_speed, environment.disturbance
    learner.receive(Rows(flags, *seen, zeros, zeros, np.zeros(count, np.float32)))
