"""Films of races: the gates stand where they stand, the next one has a colour of its own, and the file opens elsewhere."""

import numpy as np
import pytest

pytest.importorskip("spike_ctrl_view")
from PIL import Image

from spike_ctrl.report.colours import COLOURS
from spike_ctrl_racing import race_film
from spike_ctrl_racing.race_flights import Race, Trace
from spike_ctrl_racing.track import Gate, Track

ROW = Track("row", tuple(Gate((4.0 * i, 0.0, 2.0), 0.0) for i in range(3)))


def _straight(steps=121, complete=True):
    """A flight along the row at 10 m/s, level."""
    state = np.zeros((steps, 17), np.float32)
    state[:, 0], state[:, 2], state[:, 6], state[:, 7] = -2 + 0.1 * np.arange(steps), 2.0, 1.0, 10.0
    outcome = "finished" if complete else "touched"
    race = Race("row", outcome, 3, 3 if complete else 2, 0.01 * (steps - 1), 10.0, 10.0, 0.0)
    return race, Trace(state[:, :3], np.full(steps, 10.0), state, np.zeros((steps - 1, 4)))


def _coloured(picture, colour):
    wanted = [int(COLOURS[colour][i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.abs(picture.astype(int) - wanted).sum(-1) < 12).sum())


def test_gates_are_passed_one_after_the_other():
    _, trace = _straight()
    done = race_film.passed(ROW, trace.position, 3)
    assert (np.diff(done) >= 0).all() and done[[0, 15, 50, 80, 120]].tolist() == [0, 0, 1, 2, 3]
    touched = race_film.passed(ROW, trace.position, 2)  # the last plane was crossed in its frame
    assert touched[[80, 120]].tolist() == [2, 2]


def test_a_gate_is_drawn_in_the_middle_of_its_frame():
    corners = race_film.outlines(ROW)
    assert corners.shape == (3, 5, 3)
    np.testing.assert_allclose(np.abs(corners[1] - [4, 0, 2]), np.tile([0, 0.85, 0.85], (5, 1)), atol=1e-6)
    np.testing.assert_array_equal(corners[:, 0], corners[:, -1])


def test_the_next_gate_has_a_colour_until_the_last_is_passed(tmp_path):
    pictures = list(race_film.frames(ROW, *_straight(), "fresh"))
    assert len(pictures) == 16 and pictures[0].shape == (race_film.HEIGHT, race_film.WIDTH, 3)
    assert _coloured(pictures[0], 1) > _coloured(pictures[-1], 1) + 100


def test_the_file_is_a_film_that_other_programs_open(tmp_path):
    race, trace = _straight(complete=False)
    count = race_film.save(tmp_path / "race.gif", ROW, race, trace, "fresh")
    with Image.open(tmp_path / "race.gif") as film:
        assert film.n_frames <= count == 16  # equal pictures are one
        assert film.size == (race_film.WIDTH, race_film.HEIGHT)


def test_a_long_race_is_shown_faster():
    race, _ = _straight(steps=3001)
    assert len(race_film.times(race)) == 145 and len(race_film.times(_straight()[0])) == 16
