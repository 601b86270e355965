"""What a control step of a race costs: what is counted, in which part of the race, and what that takes."""

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy import checkpoint
from spike_ctrl_racing import race_cost, race_flights, race_training, race_verb, track
from spike_ctrl_racing.race_cost import RaceCount


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """A policy of 16 and 8 neurons at its random start."""
    path, racer = tmp_path_factory.mktemp("model") / "fresh.safetensors", airframe.load("racer")
    race_training.save(path, race_training.network((16, 8), racer, 0), racer, "", 0, "", "")
    return checkpoint.load(path)


def _seen(speeds):
    seen = np.ones((len(speeds), 30), np.float32)
    seen[:, 12:15] = np.outer(speeds, [0.6, 0.0, 0.8])
    return seen


def test_spikes_are_counted_by_the_speed_of_those_that_still_race(loaded):
    count, state = RaceCount(loaded.policy, "fresh"), loaded.policy.initial_state(4)
    state.spike[:3, 0] = state.spike[:5, 1] = state.spike[16:18, 2] = state.spike[:, 3] = 1.0
    count.watch(_seen([1.0, 5.0, 12.0, 12.0]), state, np.array([True, True, True, False]))
    found = {cost.part: (cost.steps, cost.spikes) for cost in count.costs(loaded.weights)}
    assert found == {"whole race": (3, 10 / 3), "below 3 m/s": (1, 3), "3 to 8 m/s": (1, 5), "above 8 m/s": (1, 2)}


def test_each_spike_and_each_number_seen_takes_the_synapses_behind_it(loaded):
    count, state = RaceCount(loaded.policy, "fresh"), loaded.policy.initial_state(1)
    state.spike[:3, 0] = state.spike[16:18, 0] = 1.0  # three neurons of the first layer, two of the second
    count.watch(_seen([10.0]), state, np.ones(1, bool))
    whole, fast = count.costs(loaded.weights)
    assert fast._replace(part=whole.part) == whole
    assert (whole.macs, whole.acs) == (29 * 16, 3 * 8 + 2 * 4)  # one of the 30 numbers is 0
    assert whole.arithmetic_nj == pytest.approx((4.6 * whole.macs + 0.9 * whole.acs) / 1e3)
    silent = RaceCount(loaded.policy, "fresh")
    silent.watch(_seen([10.0]), loaded.policy.initial_state(1), np.ones(1, bool))
    assert whole.spiking_nj - silent.costs(loaded.weights)[0].spiking_nj == pytest.approx(5 * 23.6e-3)


def test_a_race_is_watched_to_its_end_and_no_longer(loaded):
    count = RaceCount(loaded.policy, "fresh")
    courses = [track.load(name) for name in ("hall", "split_s")]
    flown = race_flights.fly_race(loaded.policy, courses, airframe.load("racer"), rounds=1, watch=count.watch)
    steps = sum(len(trace.action) for _, trace in flown)
    assert count.costs(loaded.weights)[0].steps == steps


def test_a_policy_that_does_not_spike_is_refused():
    with pytest.raises(UsageError, match="--cost: found dense, which has no spikes"):
        RaceCount(object(), "dense")


def test_the_hover_beside_it_is_that_of_a_policy_of_equal_size():
    hover = race_cost.hover(airframe.load("racer"))
    racer = checkpoint.load(race_verb.find_model("racer_gates"))
    assert hover.part == "hover, racer" and 18 * 128 * 0.9 < hover.macs <= 18 * 128
    assert racer.policy.sizes[1:] == (128, 128, 4)
    assert "hover, racer" in race_cost.table([hover])
