"""Checkpoints that are offered in flight are loaded in the order in which they came, whatever each takes.

- of two that come right after each other the later one flies in shadow at last, though the earlier one loads longer
- of many that come while one is loaded only the newest is loaded, by no more than one thread
- one whose loading breaks keeps none of those after it away
"""

import threading
import time

import pytest
from spike_ctrl_msgs.msg import Checkpoint

from spike_ctrl.policy.pilot import Flown
from spike_ctrl_policy.candidate_loader import CandidateLoader


class QuietNode:
    """A node of which nothing is heard but what it logs."""

    def __init__(self):
        self.logged = []

    def create_publisher(self, *about):
        return self

    def create_subscription(self, *about):
        return self

    def get_logger(self):
        return self

    def info(self, text):
        self.logged.append(text)

    error = info


class Shadow:
    """A pilot that remembers what it was given to fly in shadow."""

    def __init__(self):
        self.warmed = []

    def warm(self, found):
        self.warmed.append(found.name)


def offer(name, epoch=0):
    return Checkpoint(name=name, epoch=epoch)


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def candidates():
    """Give what loads checkpoints, and get a loader whose pilot is a Shadow."""
    return lambda load: CandidateLoader(QuietNode(), Shadow(), "rates", load)


def test_an_earlier_offer_that_loads_longer_does_not_replace_a_later_one(candidates):
    ended = []

    def load(message):
        time.sleep(0.5 if message.name == "earlier" else 0.0)
        ended.append(message.name)
        return Flown(message.name, None, message.epoch)

    found = candidates(load)
    found.begin(offer("earlier"))
    found.begin(offer("later"))
    until(lambda: len(ended) == 2)
    until(lambda: found.take() or len(found.pilot.warmed) == 2)
    assert found.pilot.warmed == ["earlier", "later"]


def test_of_many_offers_that_come_while_one_is_loaded_only_the_newest_is(candidates):
    loaded, threads, first, go_on = [], set(), threading.Event(), threading.Event()

    def load(message):
        threads.add(threading.get_ident())
        first.set()
        assert go_on.wait(20)
        loaded.append(message.epoch)
        return Flown(message.name, None, message.epoch)

    found, before = candidates(load), threading.active_count()
    found.begin(offer("a", 0))
    assert first.wait(20)
    for epoch in range(1, 200):
        found.begin(offer("a", epoch))
    assert threading.active_count() == before + 1
    go_on.set()
    until(lambda: len(loaded) == 2 and threading.active_count() == before)
    assert loaded == [0, 199] and len(threads) == 1
    assert found.node.logged[-1] == "a (epoch 198) is not loaded: a newer one came"


def test_an_offer_whose_loading_breaks_keeps_no_later_one_away(candidates):
    def load(message):
        if message.name == "broken":
            raise ZeroDivisionError("by nothing")
        return Flown(message.name, None, message.epoch)

    found = candidates(load)
    found.begin(offer("broken"))
    until(lambda: found.node.logged)
    found.begin(offer("sound"))
    until(lambda: found.take() or found.pilot.warmed == ["sound"])
    assert found.node.logged == ["refused: broken: ZeroDivisionError: by nothing"]
