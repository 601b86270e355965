"""Learning in the air from the transitions of one flight, where the air whirls and no model says so."""

import math

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim.episode_flags import FIRST
from spike_ctrl.sim.reward import END
from spike_ctrl_adaptation import flown_transitions
from spike_ctrl_adaptation.fine_tuning import learn_from_flight
from spike_ctrl_adaptation.flown_transitions import TransitionMemory
from spike_ctrl_adaptation.plant_estimate import unchanged
from spike_ctrl_adaptation.whirl_flight import CORE, whirl

CRAFT = airframe.load("sih_quadx")
DATA = checkpoint.read("models/sih_quadx.safetensors")


def level(x=0.0):
    """The observation of a level vehicle at rest, so many metres from its set-point."""
    return np.array([x, 0, 0, *np.eye(3).ravel(), *np.zeros(6)], np.float32)


def remembered(steps, observation=level, action=(0.0, 0.0, 0.0, 0.0)):
    memory = TransitionMemory()
    for tick in steps:
        memory.add(tick, observation(tick), action)
    return memory


def test_the_reward_of_a_step_is_that_of_the_state_it_led_to():
    rows = remembered(range(3), lambda tick: level(0.1 * tick)).rows(CRAFT)
    assert rows.reward[:2] == pytest.approx([1 - END.position * 0.1**2, 1 - END.position * 0.2**2], abs=1e-5)
    np.testing.assert_allclose(rows.observation[:, 0], [0.0, 0.1, 0.2], atol=1e-6)


def test_a_tick_that_is_missing_or_not_finite_cuts_the_sequence():
    rows = remembered([0, 1, 2, 4, 5, 6], lambda tick: level(math.nan if tick == 5 else 0.1)).rows(CRAFT)
    assert len(rows.flags) == 5  # 5 is left out
    assert [bool(flag & FIRST) for flag in rows.flags] == [True, False, False, True, True]


def test_the_oldest_steps_are_forgotten():
    assert len(remembered(range(flown_transitions.KEPT + 10))) == flown_transitions.KEPT


def test_a_child_that_learned_says_so_and_is_rehearsed_as_any(monkeypatch):
    monkeypatch.setattr(flown_transitions, "ITERATIONS", 2)
    policy, memory = checkpoint.loads(DATA).policy, TransitionMemory()
    state = policy.initial_state(1)
    for tick in range(300):
        seen = level(0.2 * math.sin(0.05 * tick))
        action, state = policy.step(seen[None], state)
        memory.add(tick, seen, tuple(action[0].tolist()))
    known = unchanged(CRAFT)
    child = learn_from_flight(DATA, CRAFT, memory.rows(CRAFT), known, 0.0, 1, "child")
    found = checkpoint.loads(child.data)
    assert found.manifest.adaptation["transitions"] == 300 and found.manifest.parent
    assert any((found.weights[name] != value).any() for name, value in checkpoint.loads(DATA).weights.items())
    assert child.after <= child.before + 0.02


def test_air_that_whirls_pushes_across_the_radius_most_at_its_core_and_not_in_its_middle():
    assert whirl(0.0, 0.0, 4.0) == (0.0, 0.0)
    assert whirl(CORE, 0.0, 4.0) == pytest.approx((0.0, 4.0))
    assert whirl(0.0, CORE / 2, 4.0) == pytest.approx((-2.0, 0.0))
    assert whirl(0.0, -2 * CORE, 4.0) == pytest.approx((2.0, 0.0))
