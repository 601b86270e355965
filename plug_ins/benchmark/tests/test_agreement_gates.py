"""The two limits of disagreement between the shipped policy and the guide, on off-nominal vehicles with sensor noise.

A limit that is too narrow takes a good policy off; that a bad policy does not pass is in test_faults_of_policy.py.
"""

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.evaluation.tracking import hovering
from spike_ctrl.flight.answer_checks import Answer, AnswerLimits, Identity
from spike_ctrl.flight.flight_settings import for_adaptation, settings_for
from spike_ctrl.flight.policy_monitor import Monitor, check_disagreement, compare_with_guide
from spike_ctrl.flight.setpoint_limiter import grant
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.learn import recipe
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim import dynamics
from spike_ctrl.sim.randomisation import Randomisation
from spike_ctrl_benchmark import off_nominal
from spike_ctrl_benchmark.off_nominal import CORNERS, EACH

pytestmark = pytest.mark.slow

SIH = airframe.load("sih_quadx")
VEHICLES = EACH * len(CORNERS)
LIMITS = AnswerLimits()
ORIGIN = SetPoint((0.0, 0.0, 0.0))


def flight(seconds, policy_flies, target=lambda step: None):
    """At each step of a flight from a hover: observation, the answers of policy and guide. target: set-points or None."""
    policy = PolicyController(checkpoint.load(resources.folder("models") / "sih_quadx.safetensors").policy)
    guide = GeometricGuide(SIH, recipe.find("rates").guide)
    steps = round(100 * seconds)
    environment, observation = hovering(SIH, VEHICLES, steps + 1, Randomisation(delay=off_nominal.LATE, noise=1.0))
    off_nominal.set_plants(environment)
    policy.begin(VEHICLES)
    integral = guide.initial_state(VEHICLES)
    velocity = np.zeros((VEHICLES, 3), np.float32)
    for step in range(steps):
        observation[:, 12:15] -= velocity  # as the nodes see it: relative to the set-point's
        action = policy.act(observation, environment)
        wanted, integral = guide.act(observation, integral)
        yield observation, action, wanted
        if (points := target(step)) is not None:
            places, velocity = (np.array(column, np.float32) for column in zip(*(p[:2] for p in points), strict=True))
            dynamics.write(environment.buffer, slice(dynamics.TARGET, dynamics.TARGET + 3), places)
        observation, *_ = environment.step(action if policy_flies else wanted)


def answer(action):
    return Answer(0, 0.0, tuple(action.tolist()), "rates", Identity("any", 0))


def sample(observation):
    return Sample(0, 0.0, 0.0, tuple(observation[:3]), (0, 0, 0, 1), tuple(observation[12:15]), (0, 0, 0))


def granted_ways(goals):
    """target of a flight: from the third second on each set-point moves to its goal (m) as it is granted."""
    settings = settings_for(SIH, 100.0, "absolute:-9,-9,-9,9,9,9")
    cage, speed = settings.cage.laid((0.0, 0.0, -9.0)), settings.envelope.trajectory_limits[1]
    limits = settings.braking, speed, settings.set_point
    points = [ORIGIN] * len(goals)

    def move(step):
        if step >= 300:
            aims = (SetPoint(tuple(goal.tolist())) for goal in goals)
            points[:] = [grant(p, aim, 0.01, cage, *limits) for p, aim in zip(points, aims, strict=True)]
        return points

    return move


@pytest.mark.parametrize(("metres", "granted"), [(1.0, True), (3.0, True), (3.0, False)])
def test_no_step_of_the_set_point_makes_it_contradict_the_guide_as_it_is_granted(metres, granted):
    """At once, which the supervisor never lets it, a step would."""
    directions = np.random.default_rng(0).normal(size=(VEHICLES, 3))
    directions *= metres / np.linalg.norm(directions, axis=1, keepdims=True)
    jumped = [SetPoint(tuple(goal.tolist())) for goal in directions]
    move = granted_ways(directions) if granted else lambda step: jumped if step == 300 else None
    monitors, found = [Monitor()] * VEHICLES, []
    for seen, action, wanted in flight(7.0, True, move):
        for n, (o, a, b) in enumerate(zip(seen.astype(float), action, wanted, strict=True)):
            monitors[n] = compare_with_guide(monitors[n], answer(a), answer(b), sample(o), ORIGIN, LIMITS)
            found += check_disagreement(monitors[n], LIMITS)
    assert bool(found) is not granted, found[:1]


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


def compared(monitor, difference, answers, limits):
    """The monitor after so many answers that differ by this from a guide that asks for nothing; and the last finding."""
    found = ()
    for _ in range(answers):
        monitor = monitor._replace(answers=monitor.answers + 1)
        policy, guide = (answer(np.array([0.0, turn, 0.0, 0.0])) for turn in (difference, 0.0))
        monitor = compare_with_guide(monitor, policy, guide, sample(np.zeros(18)), ORIGIN, limits)
        found = check_disagreement(monitor, limits)
    return monitor, found


def test_what_was_steady_in_shadow_is_no_contradiction_in_flight_where_a_flight_is_adapted():
    """A child that was tuned for 3 m/s^2 of wind was let in, and taken off by its first answers."""
    adapted = for_adaptation(settings_for(SIH, 100.0)).answers
    shadow, _ = compared(Monitor(), 0.9, 100, adapted)
    assert shadow.agrees_but_for_trim(adapted)
    flying = Monitor().after_shadow(shadow)
    assert not compared(flying, 0.9, 20, adapted)[1]
    assert compared(Monitor(), 0.9, 20, adapted)[1]  # one that was never seen in shadow
    assert compared(flying, -0.9, 5, adapted)[1]  # and one that turns round
    assert compared(flying, 0.9, 20, settings_for(SIH, 100.0).answers)[1]  # without adaptation as ever
