"""What a racing policy sees in flight equals what the task shows, on any course, at any set-point."""

import json
import math

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim import dynamics, observation
from spike_ctrl_racing import course_path, flown_words, gate_view, race_sight, race_verb, track, track_sampler
from spike_ctrl_racing.gate_view import RacingPolicy
from spike_ctrl_racing.race_kernels import GATE
from spike_ctrl_racing.racing_environment import RacingEnvironment, RacingTask
from spike_ctrl_racing.track import Gate, Track

CLIMBING = Track("climbing", tuple(Gate((5.0 * i, 2.0 * i * i, 2.0 + i), 40.0 * i, 15.0) for i in range(3)))


class Watcher:
    """A policy that keeps what it is shown."""

    inputs, outputs = 30, 4

    def initial_state(self, batch=None):
        return np.zeros(batch or 0)

    def step(self, seen, state):
        self.seen = seen.copy()
        return np.zeros((len(seen), 4), np.float32), state

    def reset_rows(self, state, mask):
        return np.where(mask, 0.0, state)


def _told(state, start, yaw):
    """The 18 numbers of a state whose set-point is the start of the course."""
    return observation.build(state[:3], state[3:7], state[7:10], state[10:13], start, yaw)


@pytest.fixture(scope="module")
def racer():
    found = checkpoint.load(race_verb.find_model("racer_gates"))
    return found.policy


@pytest.mark.parametrize("course", ["split_s", "hall", 3, CLIMBING])
def test_the_observation_is_that_of_the_task(course, racer):
    found = (
        course
        if isinstance(course, Track)
        else track.load(course)
        if isinstance(course, str)
        else track_sampler.draw(course)
    )
    environment = RacingEnvironment(airframe.load("racer"), 4, RacingTask((found,), rounds=2))
    seen, _ = environment.reset(seed=1)
    row, start = found.rows()[0].astype(float), course_path.start(found)
    yaw, watcher = math.atan2(row[4], row[3]), Watcher()
    flying = RacingPolicy(watcher, found)
    memory, network = flying.initial_state(4), racer.initial_state(4)
    gates, worst, apart = set(), 0.0, np.zeros(4, int)
    running = np.ones(4, bool)
    for _ in range(700):
        states = environment.read(dynamics.STATE_ROWS).astype(float)
        _, memory = flying.step(np.stack([_told(state, start, yaw) for state in states]), memory)
        same = running & (memory.passed % len(found.gates) == environment.kept[:, GATE])
        # A crossing within rounding of the gate's plane may count one step later.
        apart = np.where(same | ~running, 0, apart + 1)
        assert apart.max() <= 1
        if same.any():
            worst = max(worst, float(np.abs(watcher.seen - seen)[same].max()))
        gates |= set(memory.passed[running].tolist())
        action, network = racer.step(seen, network)
        seen, _, terminated, truncated, _ = environment.step(action)
        running &= ~(terminated | truncated)
        if not running.any():
            break
    assert worst < 3e-5  # float32, tens of metres from the start
    assert len(gates) > 1 or found is CLIMBING


def test_a_course_is_laid_out_from_its_start():
    rows = gate_view.laid_out(CLIMBING, (3.0, -1.0, 2.0), 0.7)
    back = rows[0, :3] - course_path.BACK * rows[0, 3:6]
    assert back == pytest.approx((3.0, -1.0, 2.0), abs=1e-5)
    assert math.atan2(rows[0, 4], rows[0, 3]) == pytest.approx(0.7, abs=1e-6)
    apart = np.linalg.norm(np.diff(CLIMBING.rows()[:, :3], axis=0), axis=1)
    assert np.linalg.norm(np.diff(rows[:, :3], axis=0), axis=1) == pytest.approx(apart, rel=1e-5)


def test_a_gate_counts_once_forwards_and_in_its_order():
    flying = RacingPolicy(Watcher(), Track("row", tuple(Gate((4.0 * i, 0.0, 2.0)) for i in range(3))))
    memory, counted = flying.initial_state(1), []
    for x in (0.0, 1.9, 2.1, 2.5, 1.8, 2.2, 6.1, 10.5):  # the gates stand at 2, 6 and 10 m
        seen = _told(np.array([x, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]), (0, 0, 0), 0.0)[None]
        _, memory = flying.step(seen, memory)
        counted.append(int(memory.passed[0]))
    assert counted == [0, 0, 1, 1, 1, 1, 2, 3]
    assert flying.reset_rows(memory, np.array([True])).passed[0] == 0


def test_a_step_changes_no_state_that_it_was_given():
    flying = RacingPolicy(Watcher(), CLIMBING)
    memory = flying.initial_state(1)
    seen = np.zeros((1, 18), np.float32)
    flying.step(seen, memory)
    assert memory.passed[0] == 0 and np.isnan(memory.place).all()


def test_the_words_of_a_race():
    words = flown_words.read("course:hall::2")
    assert (words.rounds, words.gates) == (2, 14)
    assert flown_words.read(words.text) == words and json.loads(words.text)["track"]["name"] == "hall"
    assert flown_words.read("course:split_s").rounds == 3
    for wrong in ("course:hall:3", "course:hall::0", "course::2", "circle:1:8"):
        with pytest.raises(UsageError, match="wanted a course for a policy that races"):
            flown_words.read(wrong)


def test_a_policy_that_does_not_complete_the_course_fails_its_rehearsal(racer):
    told = race_sight.rehearse(race_sight.policy(racer, "course:lemniscate"), airframe.load("racer"), 100.0, lambda: None)
    assert "races over lemniscate were completed, wanted 7" in told
    steps = []
    flown = race_sight.policy(racer, "course:hall")
    assert race_sight.rehearse(flown, airframe.load("racer"), 100.0, lambda: steps.append(1)) is None
    assert len(steps) > 400
