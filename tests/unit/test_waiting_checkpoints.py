"""Which of the checkpoints that have come a state takes."""

from spike_ctrl.policy.pilot import Flown
from spike_ctrl_policy.loader import take

WAITING = {epoch: Flown(f"run/{epoch}", None, epoch) for epoch in (3, 4, 6)}


def test_a_state_takes_the_checkpoint_of_its_epoch_and_those_before_are_forgotten():
    found, left = take(WAITING, 4)
    assert found.epoch == 4 and list(left) == [6]


def test_a_state_that_asks_for_none_takes_the_newest():
    found, left = take(WAITING, 0)
    assert found.epoch == 6 and left == {}


def test_where_the_wanted_one_has_not_come_all_go_on_waiting():
    assert take(WAITING, 5) == (None, WAITING)
    assert take({}, 0) == (None, {})
