"""RAPTOR, where it is installed: its returns here, and as a teacher."""

import importlib.util

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl.evaluation.benchmark import evaluate
from spike_ctrl.evaluation.evaluation_result import COLUMNS
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn import teacher
from spike_ctrl.sim.environment import Environment, Task
from spike_ctrl_benchmark.baselines import RaptorController

AIRFRAME, VEHICLES = airframe.load("crazyflie"), 8


@pytest.mark.skipif(not importlib.util.find_spec("foundation_policy"), reason="RAPTOR is not installed")
@pytest.mark.parametrize(
    ("name", "wanted", "tolerance"),
    [
        ("crazyflie", (449, 355, 349, 305), (0.05, 0.05, 0.07, 0.07)),
        ("crazyflie_l2f", (321, 116, 209, 156), (0.05,) * 4),
    ],
)
def test_raptor_earns_its_reference_returns_in_our_starts_and_evaluation(name, wanted, tolerance):
    columns = evaluate(RaptorController(), airframe.load(name)).columns
    found = [columns[column]["return_mean"] for column in COLUMNS]
    for column, value, reference, share in zip(COLUMNS, found, wanted, tolerance, strict=True):
        assert value == pytest.approx(reference, rel=share), column


def test_raptor_teaches_what_it_does_in_the_evaluation():
    recipe = recipes.from_dict({"name": "mine", "guide": "examples.raptor_teacher:Raptor"})
    guide, controller = teacher.make(recipe, AIRFRAME), RaptorController()
    environment = Environment(AIRFRAME, VEHICLES, Task(box=1.5))
    observation, _ = environment.reset(seed=0)
    state = guide.initial_state(VEHICLES)
    controller.begin(VEHICLES)
    for _ in range(5):
        action, state = guide.act(observation, state, environment.rotor_speed, environment.disturbance, environment.plant)
        np.testing.assert_array_equal(action, controller.act(observation, None))
        observation, *_ = environment.step(np.full((VEHICLES, 4), 0.3))
