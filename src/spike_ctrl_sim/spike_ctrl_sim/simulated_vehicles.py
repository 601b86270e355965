"""Simulated vehicles of a training, as the parameters of their node say."""

import dataclasses

import numpy as np

from spike_ctrl import airframe
from spike_ctrl.learn import recipe, resumption
from spike_ctrl.learn.recipe import Recipe
from spike_ctrl.learn.rollout import Rollout, training_environment
from spike_ctrl_sim.simulator_parameters import SimulatorParameters


def simulated(parameters: SimulatorParameters) -> tuple[Rollout, Recipe]:
    """The vehicles, whose kernels are compiled, and the recipe. Raises UsageError.

    A resumed run draws starts that it has not flown yet.
    """
    p = parameters
    vehicle, plan = airframe.load(p.airframe), recipe.find(p.recipe)
    flown = resumption.flown_before(p.resume, dataclasses.asdict(p))
    environment = training_environment(plan, vehicle, p.vehicles)
    environment.reset()
    environment.step(np.zeros((p.vehicles, 4), np.float32))  # compiles the kernels that are not in the cache
    return Rollout(environment, p.seed + flown, plan.jump_start), plan
