"""The policy at the controls: when it commands, when it flies in shadow, and with which spiking state."""

import numpy as np
import pytest

from spike_ctrl.flight.queued_states import QueueWatch
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.policy.pilot import Flown, Pilot, Reason
from spike_ctrl.snn.weight_shapes import weight_shapes

SIZES, N, WARM_UP, MAX_AGE = (18, 16, 8, 4), 2, 5, 0.1
ALL, NONE, ONE = np.ones(N, bool), np.zeros(N, bool), np.array([True, False])


def a_policy(seed: int) -> SpikingPolicy:
    random = np.random.default_rng(seed)
    return SpikingPolicy(
        {name: random.uniform(0.1, 0.9, shape).astype(np.float32) for name, shape in weight_shapes(SIZES).items()}
    )


class Flight:
    """A pilot with a policy that is fed one tick after the other each 10 ms, and what a fresh state would answer."""

    def __init__(self, max_age=MAX_AGE):
        self.policy = a_policy(1)
        self.pilot = Pilot(WARM_UP, max_age)
        self.pilot.take(Flown("one", self.policy, 0, 0.01))
        self.random, self.tick, self.now = np.random.default_rng(0), 0, 0.0
        self.seen = []

    def step(self, first=NONE, *, skip=0, pause=0.0, observation=None, lockstep=False):
        self.tick, self.now = self.tick + 1 + skip, self.now + 0.01 + pause
        if observation is None:
            observation = self.random.standard_normal((N, 18)).astype(np.float32)
        self.seen.append(observation)
        return self.pilot.step(self.tick, first, observation, lockstep=lockstep, now=self.now)

    def fresh(self, steps: int, policy=None) -> np.ndarray:
        """The action of a policy that has seen the last so many observations from the zero state."""
        policy = policy or self.policy
        state = policy.initial_state(N)
        for observation in self.seen[-steps:]:
            action, state = policy.step(observation, state)
        return action


def in_shadow(flight: Flight, words: str) -> None:
    """The next steps of a flight, whose last one began the warm-up, do not command until the warm-up is behind them."""
    for step in range(2, WARM_UP + 1):
        answer = flight.step()
        assert (answer.commands, answer.reason) == (False, Reason.WARMING_UP)
        assert answer.detail.startswith(f"step {step} of {WARM_UP} in shadow") and words in answer.detail
        np.testing.assert_array_equal(answer.action, flight.fresh(step))  # it computes, from the zero state
    answer = flight.step()
    assert answer.commands and answer.reason == Reason.OK
    np.testing.assert_array_equal(answer.action, flight.fresh(WARM_UP + 1))


def test_where_all_vehicles_start_an_episode_it_commands_at_once():
    flight = Flight()
    for steps in range(1, 10):
        answer = flight.step(ALL if steps == 1 else NONE)
        assert answer.commands and answer.reason == Reason.OK
        np.testing.assert_array_equal(answer.action, flight.fresh(steps))


def test_activated_in_the_middle_of_a_flight_it_warms_up_first():
    flight = Flight()
    answer = flight.step()
    assert (answer.commands, answer.reason, answer.detail) == (False, Reason.STALE_STATE, "tick 1 is the first")
    in_shadow(flight, "tick 1 is the first")


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"skip": 1}, "tick 5 follows tick 3"),
        ({"skip": -3}, "tick 1 follows tick 3"),
        ({"pause": 0.1}, "tick 4 came 110 ms after the last, wanted at most 100 ms"),
        ({"skip": 1, "first": ONE}, "tick 5 follows tick 3"),
    ],
)
def test_after_a_gap_the_spiking_state_starts_from_zero_in_shadow(broken, words):
    flight = Flight()
    for steps in range(3):
        assert flight.step(ALL if steps == 0 else NONE).commands
    answer = flight.step(**broken)
    assert (answer.commands, answer.reason, answer.detail) == (False, Reason.STALE_STATE, words)
    in_shadow(flight, words)


def test_a_gap_within_the_warm_up_starts_it_anew():
    flight = Flight()
    flight.step()
    flight.step()
    answer = flight.step(skip=4)
    assert answer.reason == Reason.STALE_STATE
    in_shadow(flight, "tick 7 follows tick 2")


def test_a_gap_before_new_episodes_of_all_vehicles_is_none():
    flight = Flight()
    flight.step(ALL)
    assert flight.step(ALL, skip=5, pause=1.0).commands
    assert flight.step(ALL, skip=-7).commands  # a simulator that was started again
    np.testing.assert_array_equal(flight.step().action, flight.fresh(2))


def test_states_that_waited_while_it_hung_are_never_commanded_on():
    """The queue of a second holds states that follow each other; they come at once, all of them old."""
    flight = Flight()
    for steps in range(3):
        flight.step(ALL if steps == 0 else NONE)
    assert flight.step(pause=1.0).reason == Reason.STALE_STATE
    for _ in range(100):
        answer = flight.step(pause=-0.0099)
        assert not answer.commands and answer.detail.startswith(f"step 1 of {WARM_UP} in shadow")
    for _ in range(2, WARM_UP + 1):
        assert not flight.step().commands
    answer = flight.step(pause=-0.004)  # some jitter
    assert answer.commands
    np.testing.assert_allclose(answer.action, flight.fresh(1 + 100 + WARM_UP), atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_observation_that_is_not_finite_is_a_gap_and_is_named(value):
    flight = Flight()
    flight.step(ALL)
    observation = np.zeros((N, 18), np.float32)
    observation[1, 13] = value
    before = flight.pilot.state
    answer = flight.step(observation=observation)
    assert (answer.action, answer.reason) == (None, Reason.BAD_OBSERVATION) and "observation[1,13]" in answer.detail
    assert flight.pilot.state is before
    answer = flight.step()
    assert (answer.commands, answer.reason) == (False, Reason.STALE_STATE)
    in_shadow(flight, "tick 3 follows tick 1")


def test_an_action_that_is_not_finite_is_not_commanded():
    flight = Flight()
    flight.step(ALL)
    flight.policy.step = lambda observation, state: (np.full((N, 4), np.nan), state)
    answer = flight.step()
    assert (answer.action, answer.commands, answer.reason) == (None, False, Reason.BAD_ACTION)
    del flight.policy.step
    assert flight.step().reason == Reason.STALE_STATE


def test_in_lockstep_neither_gaps_nor_pauses_count_and_each_episode_starts_from_zero():
    flight = Flight(max_age=np.inf)
    for steps in range(1, 4):
        answer = flight.step(skip=3, pause=9.0, lockstep=True)
        assert answer.commands
        np.testing.assert_array_equal(answer.action, flight.fresh(steps))
    action = flight.step(ONE, lockstep=True).action
    np.testing.assert_array_equal(action[0], flight.fresh(1)[0])
    np.testing.assert_array_equal(action[1], flight.fresh(4)[1])


def test_a_candidate_flies_in_shadow_and_then_takes_over_with_its_own_state():
    flight, other = Flight(), a_policy(2)
    flight.step(ALL)
    flight.pilot.warm(Flown("two", other, 7))
    for steps in range(WARM_UP):
        answer = flight.step()
        assert answer.commands and answer.reason == Reason.WARMING_UP and answer.detail == "two flies in shadow"
        np.testing.assert_array_equal(answer.action, flight.fresh(steps + 2))
    answer = flight.step()
    assert answer.commands and answer.reason == Reason.OK and flight.pilot.flown.name == "two"
    np.testing.assert_array_equal(answer.action, flight.fresh(WARM_UP + 1, other))


class Watched:
    """A policy that tells when it steps."""

    def __init__(self, policy, name, steps):
        self.policy, self.name, self.steps = policy, name, steps

    def __getattr__(self, name):
        return getattr(self.policy, name)

    def step(self, observation, state):
        self.steps.append(self.name)
        return self.policy.step(observation, state)


@pytest.mark.parametrize("by_hand", [True, False], ids=["once the answer is out", "by the next step"])
def test_the_answer_waits_for_no_shadow_and_each_shadow_sees_each_state_once(by_hand):
    steps, pilot, seen = [], Pilot(WARM_UP, judged=True), np.zeros((N, 18), np.float32)
    old, new = (Flown(name, Watched(a_policy(seed), name, steps), seed, 0.01) for seed, name in enumerate(("old", "new")))
    pilot.take(old)
    pilot.warm(new)

    def step(tick):
        before = len(steps)
        pilot.step(tick, ALL if tick == 1 else NONE, seen, lockstep=False, now=tick / 100)
        if not by_hand:
            return steps[before:]
        answered = steps[before:]
        pilot.fly_shadows()
        pilot.fly_shadows()
        return answered

    flown = [step(tick) for tick in range(1, WARM_UP + 3)]
    assert flown == [["old"]] * len(flown) if by_hand else [["old"], *[["new", "old"]] * (len(flown) - 1)]
    assert pilot.accept("new", 1)
    assert step(WARM_UP + 3)[-1] == "new"
    assert step(WARM_UP + 4)[-1] == "new" and pilot.parent is old
    pilot.fly_shadows()
    assert steps.count("old") == steps.count("new") == WARM_UP + 4


def test_a_gap_starts_the_warm_up_of_a_candidate_anew():
    flight, other = Flight(), a_policy(2)
    flight.step(ALL)
    flight.pilot.warm(Flown("two", other, 7))
    flight.step()
    assert flight.step(skip=1).reason == Reason.STALE_STATE
    for _ in range(WARM_UP - 1):
        assert not flight.step().commands and flight.pilot.flown.name == "one"
    answer = flight.step()
    assert answer.commands and flight.pilot.flown.name == "two"
    np.testing.assert_array_equal(answer.action, flight.fresh(WARM_UP + 1, other))


def test_stopping_forgets_the_spiking_state_and_keeps_the_policy():
    flight = Flight()
    flight.step(ALL)
    flight.pilot.stop()
    assert flight.step().reason == Reason.STALE_STATE
    assert flight.pilot.flown.name == "one"


def after_a_hang(pace: float, received_only: bool) -> int:
    """How many of 100 states that waited for a second count in the warm-up of a process that takes `pace` (s) for each."""
    pilot, watch = Pilot(1000, max_age=0.5), QueueWatch()
    pilot.take(Flown("one", a_policy(1), 0, 0.01))
    for tick in range(1, 121):
        sent = 0.01 * tick
        now = sent + 0.001 if tick <= 20 else 1.2 + pace * (tick - 20)
        watch, waited = watch.received(50.0 + sent, now)
        waited = 0.0 if received_only else waited
        answer = pilot.step(tick, NONE, np.zeros((N, 18), np.float32), lockstep=False, now=now, waited=waited)
        assert not answer.commands
    return int(answer.detail.split()[1]) if answer.reason is Reason.WARMING_UP else 0


def test_states_that_waited_in_a_queue_count_in_no_warm_up_however_slowly_they_are_taken_out():
    assert after_a_hang(0.006, received_only=True) > 90  # they look like states at the pace of real time
    assert after_a_hang(0.006, received_only=False) <= 1 and after_a_hang(0.0005, received_only=False) <= 1


def test_a_clock_that_was_set_or_stood_still_is_no_queue_for_long():
    watch, late = QueueWatch(), []
    for tick in range(600):
        stamp = 10.0 + 0.01 * tick - (0.0 if tick < 100 else 3.0 if tick < 300 else 0.5)
        watch, waited = watch.received(stamp, 0.01 * tick)
        late.append(waited > 0.03)
    assert not any(late[:300]) and sum(late) <= 101 and not any(late[-100:])
    assert QueueWatch().received(0.0, 5.0) == (QueueWatch(), 0.0)  # no stamp
