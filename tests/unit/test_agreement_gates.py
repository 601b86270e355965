"""The two limits of disagreement between the shipped policy and the guide, on off-nominal vehicles with sensor noise.

A limit that is too narrow takes a good policy off; that a bad policy does not pass is in test_faults_of_policy.py.
"""

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.evaluation import off_nominal
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.evaluation.off_nominal import CORNERS, EACH
from spike_ctrl.evaluation.tracking import hovering
from spike_ctrl.flight.answer_checks import Answer, AnswerLimits, Identity
from spike_ctrl.flight.guide_disagreement import check_disagreement, compare_with_guide
from spike_ctrl.flight.policy_monitor import Monitor
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.learn import recipe
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.randomisation import Randomisation

SIH = airframe.load("sih_quadx")
VEHICLES = EACH * len(CORNERS)
LIMITS = AnswerLimits()
ORIGIN = SetPoint((0.0, 0.0, 0.0))


def flight(seconds, policy_flies, target=lambda step: None):
    """At each step of a flight from a hover: observation, the policy's and the guide's answer. target: the set-points, m."""
    policy = PolicyController(checkpoint.load(resources.folder("models") / "sih_quadx.safetensors").policy)
    guide = GeometricGuide(SIH, recipe.find("rates").guide)
    steps = round(100 * seconds)
    environment, observation = hovering(SIH, VEHICLES, steps + 1, Randomisation(delay=off_nominal.LATE, noise=1.0))
    off_nominal.set_plants(environment)
    policy.begin(VEHICLES)
    integral = guide.initial_state(VEHICLES)
    for step in range(steps):
        action = policy.act(observation, environment)
        wanted, integral = guide.act(observation, integral)
        yield observation, action, wanted
        if (points := target(step)) is not None:
            dynamics.write(environment.buffer, slice(dynamics.TARGET, dynamics.TARGET + 3), points)
        observation, *_ = environment.step(action if policy_flies else wanted)


def answer(action):
    return Answer(0, 0.0, tuple(action.tolist()), "rates", Identity("any", 0))


def sample(observation):
    return Sample(0, 0.0, 0.0, tuple(observation[:3]), (0, 0, 0, 1), tuple(observation[12:15]), (0, 0, 0))


@pytest.mark.parametrize("metres", [1.0, 3.0])
def test_no_step_of_the_set_point_makes_it_contradict_the_guide(metres):
    directions = np.random.default_rng(0).normal(size=(VEHICLES, 3))
    directions *= metres / np.linalg.norm(directions, axis=1, keepdims=True)
    monitors, worst = [Monitor()] * VEHICLES, 0.0
    for seen, action, wanted in flight(7.0, True, lambda step: directions if step == 300 else None):
        for n, (o, a, b) in enumerate(zip(seen.astype(float), action, wanted, strict=True)):
            monitors[n] = compare_with_guide(monitors[n], answer(a), answer(b), sample(o), ORIGIN, LIMITS)
            assert not check_disagreement(monitors[n], LIMITS), CORNERS[n // EACH]
            worst = max(worst, *monitors[n].recent)
    assert worst > LIMITS.contradiction  # at the set-point it would have been one


def test_it_may_fly_within_five_seconds_in_every_corner():
    monitors, since = [Monitor()] * VEHICLES, np.full(VEHICLES, np.inf)
    for step, (seen, action, wanted) in enumerate(flight(5.0, False)):
        for n, (o, a, b) in enumerate(zip(seen.astype(float), action, wanted, strict=True)):
            monitor = monitors[n]._replace(answers=step + 1)
            monitors[n] = compare_with_guide(monitor, answer(a), answer(b), sample(o), ORIGIN, LIMITS)
            if monitors[n].agrees(LIMITS):
                since[n] = min(since[n], step / 100)
    assert since.max() < 5.0, dict(zip(map(str, CORNERS), since.reshape(-1, EACH).max(1), strict=True))
    assert since[:EACH].max() < 1.1  # as its airframe says
