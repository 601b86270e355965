"""The replay buffer: every sampled window equals what a slow walk along the recorded stream finds."""

import numpy as np
import pytest

from spike_ctrl.learn.replay_buffer import HISTORY, Rows, SequenceBuffer, Widths, complete, finite, privileged_size
from spike_ctrl.sim.episode_flags import FIRST, GUIDE, TERMINATED, TRUNCATED

pytestmark = pytest.mark.slow

VEHICLES = 3
CUT = 0  # an episode whose end nobody saw: the next row is FIRST


def stream(lengths, ends, ticks=None, seed=0):
    """Rows of vehicles that fly episodes of these lengths (steps); the first observation numbers are tick and vehicle.

    lengths, ends: a list of episodes for each vehicle, repeated as long as there are ticks.
    """
    rng, flags = np.random.default_rng(seed), []
    for vehicle_lengths, vehicle_ends in zip(lengths, ends, strict=True):
        column = []
        for length, end in zip(vehicle_lengths, vehicle_ends, strict=True):
            episode = [0] * length + [end]
            episode[0] |= FIRST
            column += episode
        flags.append(column)
    ticks = ticks or min(map(len, flags))
    flags = np.array([[column[t % len(column)] for column in flags] for t in range(ticks)], np.uint8)
    shape = flags.shape
    observation = rng.normal(size=(*shape, 18)).astype(np.float32)
    observation[..., 0], observation[..., 1] = np.arange(ticks)[:, None], np.arange(shape[1])
    draw = (rng.normal(size=(*shape, width)).astype(np.float32) for width in (4, 6, 4, 4))
    reward = rng.normal(size=shape).astype(np.float32)
    return [Rows(*row) for row in zip(flags, observation, *draw, reward, strict=True)]


def random_stream(seed, ticks, longest=90):
    rng = np.random.default_rng(seed)
    lengths = [rng.integers(1, longest, 400).tolist() for _ in range(VEHICLES)]
    ends = [rng.choice([TERMINATED, TRUNCATED, CUT], 400).tolist() for _ in range(VEHICLES)]
    return stream(lengths, ends, ticks, seed)


def filled(rows, ticks):
    buffer = SequenceBuffer(ticks * len(rows[0].flags), len(rows[0].flags))
    for row in rows:
        buffer.add(row)
    return buffer


def walk(rows, tick, vehicle, length):
    """The window of `length` steps from that tick, step by step: a dictionary like Sequences, for one vehicle."""
    begin = tick
    while not rows[begin].flags[vehicle] & FIRST:
        begin -= 1
    window = {"age": tick - begin, "mask": [], "terminated": [], "privileged": []}
    alive = True
    for t in range(tick, tick + length + 1):
        if alive:
            history = [rows[s].action[vehicle] if s >= begin else np.zeros(4) for s in range(t - HISTORY, t)]
            parts = [rows[t].observation[vehicle], *history, rows[t].rotor_speed[vehicle], rows[t].disturbance[vehicle]]
            window["privileged"].append(np.concatenate(parts))
        if t == tick + length:
            break
        ended = rows[t].flags[vehicle] & (TERMINATED | TRUNCATED) or rows[t + 1].flags[vehicle] & FIRST
        alive = alive and not ended
        window["mask"].append(alive)
        window["terminated"].append(alive and bool(rows[t + 1].flags[vehicle] & TERMINATED))
    return window


def assert_equals_walk(sample, rows):
    length, batch = sample.mask.shape
    for b in range(batch):
        tick, vehicle = sample.observation[0, b, :2].astype(int)
        wanted = walk(rows, tick, vehicle, length)
        assert sample.age[b] == wanted["age"]
        np.testing.assert_array_equal(sample.mask[:, b], wanted["mask"])
        np.testing.assert_array_equal(sample.terminated[:, b], wanted["terminated"])
        states = len(wanted["privileged"])
        np.testing.assert_array_equal(sample.privileged[:states, b], np.float32(wanted["privileged"]))
        for name in ("observation", "action", "guide_action", "reward"):
            steps = states if name == "observation" else int(sample.mask[:, b].sum())
            recorded = [getattr(rows[tick + t], name)[vehicle] for t in range(steps)]
            np.testing.assert_array_equal(getattr(sample, name)[:steps, b], recorded)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("wrapped", [False, True])
def test_every_window_equals_a_walk_along_the_stream(seed, wrapped):
    rows = random_stream(seed, 700)
    buffer, generator = filled(rows, 301 if wrapped else 1000), np.random.default_rng(seed)
    for length, burn_in in ((50, 10), (20, 0), (100, 50)):
        sample = buffer.sample(40, length, burn_in, generator)
        assert_equals_walk(sample, rows)
        # Only a window that lost its beginning to the ring may begin within the burn-in.
        within = (sample.age > 0) & (sample.age < burn_in)
        oldest = len(rows) - min(len(rows), buffer.ticks)
        assert (sample.observation[0, within, 0] == oldest + HISTORY).all()
        assert sample.mask.any(axis=0).all()
        masked_then_valid = ~sample.mask[:-1] & sample.mask[1:]
        assert not masked_then_valid.any()


@pytest.mark.parametrize("ticks", [333, 334, 400, 665, 666, 667, 668])
def test_the_seam_of_the_ring_is_never_inside_a_window(ticks):
    rows = random_stream(9, ticks)
    buffer = filled(rows, 333)
    assert_equals_walk(buffer.sample(60, 50, 10, np.random.default_rng(ticks)), rows)


def test_a_perfect_flight_of_500_steps_yields_its_windows():
    rows = stream([[500]] * VEHICLES, [[TRUNCATED]] * VEHICLES, ticks=1600)
    buffer, generator, ages = filled(rows, 1600), np.random.default_rng(0), set()
    for _ in range(10):
        sample = buffer.sample(800, 100, 50, generator)
        assert sample.mask.all()
        assert not sample.terminated.any()
        ages |= set(sample.age.tolist())
    # Begun with the episode or after the burn-in; the last window ends with the final state.
    assert ages == {0, *range(50, 401)}


def test_every_step_of_an_episode_can_be_drawn():
    rows = stream([[30, 77]] * VEHICLES, [[TERMINATED, TRUNCATED]] * VEHICLES, ticks=450)
    sample = filled(rows, 450).sample(4000, 50, 10, np.random.default_rng(0))
    drawn = sample.observation[:-1, :, 0][sample.mask].astype(int)
    steps = [t for t in range(108, 324) if not rows[t].flags[0] & (TERMINATED | TRUNCATED)]
    assert set(steps) <= set(drawn)


def test_an_episode_shorter_than_the_window_is_padded_and_masked():
    rows = stream([[7]] * VEHICLES, [[TERMINATED]] * VEHICLES, ticks=200)
    sample = filled(rows, 200).sample(100, 20, 5, np.random.default_rng(0))
    assert (sample.age == 0).all()
    assert (sample.mask == (np.arange(20) < 7)[:, None]).all()
    assert (sample.terminated == (np.arange(20) == 6)[:, None]).all()


def test_an_episode_cut_off_by_a_restart_neither_terminates_nor_reaches_into_the_next():
    rows = stream([[40]] * VEHICLES, [[CUT]] * VEHICLES, ticks=300)
    sample = filled(rows, 300).sample(200, 40, 0, np.random.default_rng(0))
    assert sample.mask.all() and not sample.terminated.any()  # the last state of the cut episode bounds the window
    assert (sample.age == 0).all()
    assert (sample.observation[-1, :, 0] == sample.observation[0, :, 0] + 40).all()


def test_the_action_history_is_zero_before_the_episode_and_oldest_first():
    rows = stream([[60]] * VEHICLES, [[TRUNCATED]] * VEHICLES, ticks=300)
    sample = filled(rows, 300).sample(50, 60, 0, np.random.default_rng(0))
    history = sample.privileged[..., 18 : 18 + 4 * HISTORY].reshape(61, 50, HISTORY, 4)
    assert sample.privileged.shape[-1] == privileged_size()
    assert (sample.age == 0).all()
    assert not history[0].any()
    assert not history[5, :, : HISTORY - 5].any()
    for state in (5, 40, 60):
        np.testing.assert_array_equal(history[state, :, -1], sample.action[state - 1])
        oldest = max(0, state - HISTORY)
        np.testing.assert_array_equal(history[state, :, HISTORY - (state - oldest)], sample.action[oldest])


def test_the_first_row_of_a_stream_starts_an_episode_even_if_unmarked():
    rows = stream([[1000]] * VEHICLES, [[TRUNCATED]] * VEHICLES, ticks=200)
    rows[0] = rows[0]._replace(flags=np.zeros(VEHICLES, np.uint8))
    sample = filled(rows, 200).sample(300, 20, 100, np.random.default_rng(0))
    assert set(sample.age[sample.age < 100]) <= {HISTORY}  # the first ticks held serve as history only
    assert rows[0].flags[0] == 0  # the caller's rows are untouched


def test_flags_are_kept_as_they_came():
    rows = stream([[1000]] * VEHICLES, [[TRUNCATED]] * VEHICLES, ticks=100)
    rows[50] = rows[50]._replace(flags=np.array([GUIDE, 0, GUIDE], np.uint8))
    assert filled(rows, 100).flags[50].tolist() == [GUIDE, 0, GUIDE]


def test_a_sample_does_not_share_memory_with_the_buffer():
    buffer = filled(random_stream(1, 300), 300)
    before = buffer.arrays()
    for array in buffer.sample(20, 30, 10, np.random.default_rng(0)):
        array[...] = 0
    assert all(np.array_equal(before[name], value) for name, value in buffer.arrays().items())


@pytest.mark.parametrize("ticks", [200, 333, 500])
def test_a_restored_buffer_gives_the_same_samples_and_goes_on_alike(ticks):
    rows = random_stream(2, 800)
    buffer = filled(rows[:ticks], 333)
    twin = SequenceBuffer(333 * VEHICLES, VEHICLES)
    twin.restore(buffer.arrays(), buffer.count)
    for row in rows[ticks:]:
        buffer.add(row)
        twin.add(row)
    assert twin.held == buffer.held
    for mine, other in zip(*(b.sample(50, 50, 10, np.random.default_rng(0)) for b in (buffer, twin)), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_too_few_ticks_are_refused_until_windows_fit():
    rows = random_stream(3, 200)
    buffer = filled(rows[:72], 300)
    assert not buffer.ready(20)
    with pytest.raises(ValueError, match="72 ticks, too few for windows of 20"):
        buffer.sample(1, 20, 0, np.random.default_rng(0))
    buffer.add(rows[72])
    assert buffer.ready(20)
    assert_equals_walk(buffer.sample(50, 20, 0, np.random.default_rng(0)), rows)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"capacity: found 100, wanted at least 192 \(3 vehicles\)"):
        SequenceBuffer(100, VEHICLES)
    buffer = filled(random_stream(4, 100), 100)
    with pytest.raises(ValueError, match="rows: found 2 vehicles, wanted 3"):
        buffer.add(stream([[9]] * 2, [[CUT]] * 2)[0])
    with pytest.raises(ValueError, match="wanted at most"):
        SequenceBuffer(64 * VEHICLES, VEHICLES).restore(buffer.arrays(), 100)


# --- rows that are not finite ---

BAD = {
    "action": (lambda row: row.action, (2,)),
    "guide_action": (lambda row: row.guide_action, (0,)),
    "reward": (lambda row: row.reward, ()),
    "observation": (lambda row: row.observation, (13,)),
    "rotor_speed": (lambda row: row.rotor_speed, (1,)),
    "disturbance": (lambda row: row.disturbance, (5,)),
}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", BAD)
def test_a_row_that_is_not_finite_reaches_no_window(name, value):
    rows, (field, column) = stream([[40]] * VEHICLES, [[TRUNCATED]] * VEHICLES, ticks=10 * 41), BAD[name]
    bad = [(tick, 1) for tick in range(3 * 41 + 7, 7 * 41, 41)]  # in the middle of four episodes of vehicle 1
    for tick, vehicle in bad:
        field(rows[tick])[(vehicle, *column)] = value
    cleaned = [finite(row) for row in rows]
    assert sum(count for _, count in cleaned) == len(bad)
    buffer = filled([row for row, _ in cleaned], 410)
    steps = buffer.sample(4000, 20, 5, np.random.default_rng(0))
    for array in steps:
        assert np.isfinite(array).all()
    at = steps.observation[:-1, :, 0].round().astype(int), steps.observation[:-1, :, 1].round().astype(int)
    learnt = {(tick, vehicle) for tick, vehicle in zip(at[0][steps.mask], at[1][steps.mask], strict=True)}
    state = name in ("observation", "rotor_speed", "disturbance")
    assert not learnt & set(bad)
    assert {(tick - 1, 1) for tick, _ in bad} <= learnt  # the step before is one like any other
    ended = steps.terminated & steps.mask
    crashes = {(tick, vehicle) for tick, vehicle in zip(at[0][ended], at[1][ended], strict=True)}
    assert crashes == ({(tick - 1, 1) for tick, _ in bad} if state else set())


def test_rows_that_are_finite_are_passed_on_as_they_are():
    for row in random_stream(0, 50):
        assert finite(row) == (row, 0)


def test_the_ignored_action_of_a_final_state_may_be_anything():
    rows = stream([[5]] * VEHICLES, [[TERMINATED]] * VEHICLES)
    rows[5].action[:] = np.nan
    cleaned, count = finite(rows[5])
    assert count == 0 and not cleaned.action.any() and (cleaned.flags == rows[5].flags).all()


def test_what_a_flight_does_not_know_becomes_zeros_and_the_rest_stays_what_it_is():
    known = Rows(*(np.full((2, width), 3.0) for width in (1, 18, 4, 6, 4, 4, 1)))
    assert complete(known) == known
    found = complete(known._replace(rotor_speed=None, disturbance=None))
    assert found.rotor_speed.shape == (2, 4) and found.disturbance.shape == (2, 6)
    assert not found.rotor_speed.any() and not found.disturbance.any() and found.observation is known.observation


def test_a_shorter_history_is_the_end_of_the_longer_one():
    rows = random_stream(5, 200)
    whole = filled(rows, 200)
    for history in (0, 3):
        short = SequenceBuffer(200 * VEHICLES, VEHICLES, history)
        for row in rows:
            short.add(row)
        mine, theirs = (buffer.sample(20, 30, 5, np.random.default_rng(1)).privileged for buffer in (short, whole))
        assert mine.shape[-1] == privileged_size(history)
        kept = [*range(18), *range(18 + 4 * (HISTORY - history), privileged_size())]
        np.testing.assert_array_equal(mine, theirs[..., kept])


def test_what_has_neither_rotors_nor_a_disturbance_has_windows_too():
    rows = [
        row._replace(rotor_speed=row.rotor_speed[:, :0], disturbance=row.disturbance[:, :0]) for row in random_stream(5, 200)
    ]
    buffer = SequenceBuffer(200 * VEHICLES, VEHICLES, 0, Widths(rotor_speed=0, disturbance=0))
    for row in rows:
        buffer.add(row)
    found = buffer.sample(20, 30, 5, np.random.default_rng(1))
    np.testing.assert_array_equal(found.privileged, found.observation)
