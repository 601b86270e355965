"""When a policy is tuned in flight, and what becomes of bad offers. No kernel of a vehicle runs in the first part."""

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl_adaptation.adapter import Adapter, AdapterSettings

CRAFT = airframe.load("sih_quadx")
LEVEL, REST = (0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.0)


def hovered(adapter, seconds, force=0.0, begin=0.0, distance=0.05, flying="first"):
    """Level flight that a force (m/s^2, along x) pushes, while drag of 1/s holds it; looked at four times a second."""
    dice, found, speed = np.random.default_rng(int(10 * begin)), [], 0.0
    for step in range(round(seconds * 100)):
        now = begin + step / 100
        speed += (force - speed) / 100
        velocity = (speed + 0.005 * dice.standard_normal(), 0.005 * dice.standard_normal(), 0.005 * dice.standard_normal())
        adapter.see(now, LEVEL, velocity, REST, (0.02 * dice.standard_normal(), 0.0, 0.0, 0.0), distance, flying)
        if step % 25 == 24 and (estimate := adapter.decide(now)) is not None:
            found.append((now, estimate))
    return found


def test_a_vehicle_as_described_is_left_alone():
    assert not hovered(Adapter(CRAFT), 8.0)


def test_a_force_is_tuned_for_within_two_seconds_and_once():
    adapter = Adapter(CRAFT)
    hovered(adapter, 4.0)
    found = hovered(adapter, 4.0, force=3.0, begin=4.0)
    assert 5.0 < found[0][0] < 6.0 and abs(found[0][1].mean[1] - 3.0) < 0.6
    adapter.offered(found[0][0], "child", found[0][1])
    assert not hovered(adapter, 8.0, force=3.0, begin=8.0, flying="child")  # it was made for that


def test_the_one_before_flies_again_and_is_tuned_again_but_not_without_end():
    adapter = Adapter(CRAFT, AdapterSettings(attempts=2, pause=1.0))
    for round_ in range(4):
        for now, estimate in hovered(adapter, 4.0, force=3.0, begin=4.0 * round_)[:1]:
            adapter.offered(now, f"child {round_}", estimate)
    assert adapter.attempts == 2


def test_who_stays_away_is_tuned_for_though_the_vehicle_seems_unchanged():
    assert hovered(Adapter(CRAFT), 8.0, distance=0.4)


def test_on_request_it_tunes_at_once_and_without_data_it_does_not():
    adapter = Adapter(CRAFT)
    assert adapter.decide(0.0, asked=True) is None
    hovered(adapter, 2.0)
    assert adapter.decide(2.0, asked=True) is not None
    adapter.interrupted()
    assert adapter.decide(2.1, asked=True) is None


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_states_that_are_not_numbers_change_nothing(bad):
    adapter = Adapter(CRAFT)
    hovered(adapter, 2.0)
    before = adapter.memory.window()
    adapter.see(2.0, LEVEL, (bad, 0.0, 0.0), REST, (0.0, 0.0, 0.0, 0.0), 0.1, "first")
    assert np.array_equal(before.velocity, adapter.memory.window().velocity)
