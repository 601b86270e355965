"""Whether a checkpoint that took over in flight is kept. Distances from the set-point are made up; time is an argument."""

import math

import pytest

from spike_ctrl.flight.answer_checks import Identity
from spike_ctrl.flight.event import EventKind
from spike_ctrl.flight.faults import Fault
from spike_ctrl.flight.request import Request
from spike_ctrl.flight.swap_trial import SwapTrial, TrialEnd, TrialLimits

PARENT, CHILD = Identity("parent", 0), Identity("child", 1)
STEP, LIMITS = 0.01, TrialLimits()


def flown(distance, seconds=10.0, before=0.2, flies=lambda t: True):
    """The verdict and its time (s) where the child flies at distance(t) (m, None: on its way), t s after it took over."""
    trial, now = SwapTrial(), 100.0
    for _ in range(500):
        now += STEP
        trial, _ = trial.watched(now, before, LIMITS).judged(now, True, LIMITS)
    trial, begin = trial.begun(now, CHILD, PARENT), now
    while now - begin < seconds:
        now += STEP
        trial = trial.watched(now, distance(now - begin), LIMITS)
        trial, verdict = trial.judged(now, flies(now - begin), LIMITS)
        if verdict is not None:
            return verdict, now - begin, trial
    return None, now - begin, trial


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [(0.2, 0.05, True), (0.2, 0.2, True), (0.2, 0.3, False), (0.05, 0.06, True), (0.05, 0.08, False)],
)
def test_a_child_is_kept_where_the_vehicle_is_no_farther_off_than_before(before, after, kept):
    verdict, time, trial = flown(lambda t: after, before=before)
    assert verdict.kept == kept and 3.4 < time < 3.7
    assert (verdict.distance, verdict.before) == pytest.approx((after, before))
    assert (trial.barred == {CHILD}) != kept
    assert (verdict.end, verdict.child, verdict.parent) == (TrialEnd.KEPT if kept else TrialEnd.WORSE, CHILD, PARENT)


def test_what_children_have_lost_counts_against_the_next_ones_until_one_wins_it_back():
    trial, now, before, told = SwapTrial(), 100.0, 0.1, []
    for number, after in enumerate((0.12, 0.13, 0.09, 0.11), start=1):
        trial, _ = trial.watched(now, before, LIMITS).judged(now, True, LIMITS)
        trial, verdict = trial._replace(distance=before).begun(now, Identity("child", number), PARENT), None
        while verdict is None:
            now += STEP
            trial = trial.watched(now, after, LIMITS)
            trial, verdict = trial.judged(now, True, LIMITS)
        told.append(verdict)
        trial = trial if verdict.kept else trial.returned(now, PARENT, LIMITS)[0]
        before = after if verdict.kept else before
    assert [verdict.kept for verdict in told] == [True, False, True, True]
    assert (told[1].distance, told[1].before, told[1].others) == pytest.approx((0.13, 0.12, 0.02))


def test_a_child_that_flies_away_is_rolled_back_long_before_the_end_of_its_trial():
    verdict, time, _ = flown(lambda t: 0.2 + t**2)
    assert not verdict.kept and time < 1.6


def test_how_it_settles_is_not_held_against_it():
    verdict, _, _ = flown(lambda t: 0.45 if t < 1.0 else 0.05)
    assert verdict.kept


def test_a_child_that_loses_command_is_rolled_back_at_once():
    verdict, time, _ = flown(lambda t: 0.1, flies=lambda t: t < 0.5)
    assert verdict.end is TrialEnd.LOST_COMMAND and time < 0.52


def test_set_points_on_their_way_do_not_count_and_one_that_is_never_judged_is_rolled_back():
    verdict, time, _ = flown(lambda t: None if t < 4 else 0.1)
    assert verdict.kept and 5.9 < time < 6.2
    verdict, time, _ = flown(lambda t: None, seconds=30)
    assert verdict.end is TrialEnd.NOT_JUDGED and time == pytest.approx(LIMITS.latest, abs=0.02)


def test_a_distance_that_is_no_number_does_not_keep_a_child():
    assert not flown(lambda t: math.nan, seconds=30)[0].kept


def test_the_parent_is_asked_back_until_it_answers_and_not_for_ever():
    _, _, trial = flown(lambda t: 0.3)
    again, failed = trial.returned(trial.returning + 0.02, CHILD, LIMITS)
    assert again.returning is not None and not failed
    again, failed = again.returned(trial.returning + 0.03, PARENT, LIMITS)
    assert again.returning is None and not failed and again.barred == {CHILD}
    again, failed = trial.returned(trial.returning + 2, CHILD, LIMITS)
    assert again.returning is None and failed


def test_without_a_parent_there_is_no_trial():
    assert SwapTrial(distance=0.1).begun(1.0, CHILD, None).child is None


def test_a_landing_in_a_trial_brings_the_parent_back_and_blames_nobody(flight):
    parent, child = Identity("hover.safetensors", 3), Identity("new.safetensors", 4)
    old = flight.policy
    flight.candidate = lambda a: old(a)._replace(identity=child)

    def accepted(flight):  # as the policy's node does
        found = [output.accept for _, output in flight.outputs if output.accept is not None]
        return found[-1] if found else parent

    flight.policy = lambda a: old(a)._replace(identity=accepted(flight))
    flight.fly(3, until=lambda: flight.state.ladder.approved == child)
    flight.fly(1)
    flight.ask(Request.LAND)
    flight.fly(1)
    assert flight.told(EventKind.ROLLED_BACK)
    assert flight.state.ladder.approved == parent and not flight.told(Fault.WRONG_IDENTITY)
