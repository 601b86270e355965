"""A policy in shadow that differs from the guide in noise may fly where both answer the same changes with the same sign.

- an inverted policy, one mirrored about its hover, one whose collective is inverted, a constant and a scaled one may not
- flights from the ground in strong noise, in which the estimate wanders, reach the policy
"""

import math

import numpy as np
import pytest
from struck_flight import fly

from spike_ctrl.certification import monte_carlo
from spike_ctrl.certification.flight_outcome import outcome
from spike_ctrl.control.trajectory import SetPoint
from spike_ctrl.flight.answer_checks import Answer, AnswerLimits, Identity
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.policy_monitor import Monitor, compare_with_guide
from spike_ctrl.flight.state_checks import Sample

LIMITS, HOVER = AnswerLimits(), 0.1
STATE = Sample(1, 1.0, 1.0, (0.0, 0.0, 1.0), (0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


def sound(seconds=10.0):
    """Answers of guide and policy to an estimate that wanders, to which the policy has the larger gain."""
    dice = np.random.default_rng(0)
    for tick in range(round(100 * seconds)):
        noise, slow = dice.normal(0.0, 0.05, 4), 0.6 * math.sin(0.006 * tick)
        yield 0.02 * slow + noise, HOVER + slow + 1.5 * noise + dice.normal(0.0, 0.05, 4)


def shadow(bad):
    """The monitors of a policy in shadow at which it was like the guide, and differed from it by more than usual."""
    monitor, found = Monitor(), []
    for tick, (guide, policy) in enumerate(sound()):
        answers = [Answer(tick, 0.0, tuple(a.tolist()), "rates", Identity("any", 0)) for a in (bad(policy), guide)]
        monitor = compare_with_guide(monitor._replace(answers=tick), *answers, STATE, SetPoint(STATE.position), LIMITS)
        likeness = monitor.likeness.after(answers[0].action, answers[1].action, LIMITS.likeness)
        monitor = monitor._replace(likeness=likeness)
        if likeness.alike(LIMITS.likeness) and max(monitor.difference) > LIMITS.disagreement:
            found.append(monitor)
    return found


def test_a_policy_of_another_gain_is_alike_in_noise():
    found = shadow(lambda a: a)
    assert len(found) > 100 and all(monitor.agrees(LIMITS) for monitor in found)


BAD = {
    "inverted": lambda a: -a,
    "mirrored": lambda a: 2 * HOVER - a,
    "collective inverted": lambda a: a * (-1, 1, 1, 1),
    "roll inverted": lambda a: a * (1, -1, 1, 1),
    "pitch inverted": lambda a: a * (1, 1, -1, 1),
    "constant": lambda a: 0 * a + 0.2,
    "two and a half times as much": lambda a: (2.5 * (a - HOVER)).clip(-1, 1),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_policy_is_never_alike(name):
    assert shadow(BAD[name]) == []


def test_a_policy_that_is_late_by_a_sixth_of_a_second_is_never_alike():
    late = []
    assert shadow(lambda a: late.append(a) or late[max(len(late) - 17, 0)]) == []


@pytest.mark.slow
def test_in_strong_noise_the_policy_takes_over_all_the_same(who):
    # "engagement dropped" after ten seconds, before signs were compared
    drawn = monte_carlo.scenario_of(128, *who, "none")
    core = fly(who, drawn._replace(duration=15.0))
    assert Rung.SNN in [rung for _, rung, _ in core.moves] and not outcome(core).alarm
