"""Figures of studies: every line can be told from every other."""

import numpy as np
from PIL import Image

from spike_ctrl.report.colours import COLOURS
from spike_ctrl_studies.figures import Figure, Line, Panel, save_png


def drawn(path, number):
    """How many pixels of its colour line `number` of a figure has, drawn alone."""
    line = Line("", [0, 1], [0, 1], colour=number)
    save_png(Figure("", "", [Panel("", "", "", [line])]), path)
    colour = [int(COLOURS[number % len(COLOURS)][i : i + 2], 16) for i in (1, 3, 5)]
    image = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return int((np.abs(image - colour).max(-1) < 24).sum())


def test_the_second_line_of_a_colour_has_gaps(tmp_path):
    whole, broken = (drawn(tmp_path / "line.png", number) for number in (0, len(COLOURS)))
    assert 0.4 * whole < broken < 0.9 * whole
