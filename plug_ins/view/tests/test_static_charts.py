"""Still pictures show what the interactive charts hold, and a page of them stays small."""

import base64
import io

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image
from plotly.subplots import make_subplots

from spike_ctrl._files import resources
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli import main
from spike_ctrl.report.colours import COLOURS
from spike_ctrl_view.static_charts import image, png

MODEL = resources.folder("models") / "crazyflie.safetensors"


def pixels(figure, wide=False):
    return np.asarray(Image.open(io.BytesIO(png(figure, wide))).convert("RGB")).astype(int)


def where(image, colour, tolerance=24):
    """Rows and columns of the pixels of one colour, as shares of the picture."""
    rows, columns = np.nonzero(np.abs(image - colour).max(-1) <= tolerance)
    return rows / image.shape[0], columns / image.shape[1]


RED, BLUE = (220, 0, 0), (0, 0, 220)


def hexadecimal(colour):
    return "#{:02x}{:02x}{:02x}".format(*colour)


def line(x, y, colour):
    return go.Scatter(x=x, y=y, mode="lines", line={"color": hexadecimal(colour), "width": 4})


def test_a_rising_line_rises_and_the_axis_that_begins_at_zero_shows_its_top():
    figure = go.Figure(line([0, 1, 2], [0, 50, 100], RED))
    figure.update_yaxes(rangemode="tozero")
    rows, columns = where(pixels(figure), RED)
    assert np.corrcoef(rows, columns)[0, 1] < -0.99  # rows count downwards
    assert rows.min() < 0.15 and rows.max() > 0.7


def test_subplots_keep_their_places():
    figure = make_subplots(rows=2, cols=2)
    figure.add_trace(line([0, 1], [0, 1], RED), row=1, col=2)
    figure.add_trace(line([0, 1], [0, 1], BLUE), row=2, col=1)
    image = pixels(figure)
    (red_rows, red_columns), (blue_rows, blue_columns) = where(image, RED), where(image, BLUE)
    assert red_rows.max() < blue_rows.min() and red_columns.min() > blue_columns.max()


def test_a_heat_map_begins_at_the_bottom_and_bars_stand_side_by_side():
    colours = [[0.0, "#ffffff"], [1.0, hexadecimal(RED)]]
    z = np.zeros((10, 20))
    z[:3] = 1
    rows, _ = where(pixels(go.Figure(go.Heatmap(z=z, x=np.arange(20), zmin=0, zmax=1, colorscale=colours))), RED)
    assert rows.min() > 0.5
    marks = [go.Bar(x=["a", "b"], y=[3, 3], name=str(c), marker={"color": hexadecimal(c)}) for c in (RED, BLUE)]
    image = pixels(go.Figure(marks))
    (_, red), (_, blue) = where(image, RED), where(image, BLUE)
    assert len(red) == pytest.approx(len(blue), rel=0.1) and red.mean() < blue.mean()


def test_words_on_an_axis_stand_in_their_order_also_those_that_no_line_meets():
    figure = go.Figure([line([0, 1], ["low", "low"], BLUE), line([0, 1], ["high", "high"], RED)])
    figure.update_yaxes(categoryorder="array", categoryarray=["low", "middle", "high", "top"], range=[-0.5, 3.5])
    image = pixels(figure)
    (red, _), (blue, _) = where(image, RED), where(image, BLUE)
    assert red.mean() < blue.mean()
    assert blue.mean() - red.mean() > 0.35  # "middle" lies between them


def test_lines_over_one_time_begin_and_end_at_the_edges_and_are_as_thick_as_they_should():
    figure = go.Figure(go.Scatter(x=[0, 10], y=[0, 0], mode="lines", line={"color": hexadecimal(RED), "width": 10}))
    figure.add_trace(line([0, 10], [1, 1], BLUE))
    image = pixels(figure)
    (red, ends), (blue, _) = where(image, RED), where(image, BLUE)
    assert np.ptp(ends) > 0.85 and len(red) > 2 * len(blue)


def test_a_narrow_screen_is_shown_a_wide_chart_as_a_narrow_one():
    shown = image(go.Figure(line([0, 1], [0, 1], RED)), "rising", wide=True)
    assert shown.startswith('<picture><source media="(max-width: 800px)"') and shown.count("data:image/png") == 2
    narrow, wide = (Image.open(io.BytesIO(base64.b64decode(text.partition('"')[0]))) for text in shown.split("base64,")[1:])
    assert narrow.width * 2 < wide.width and narrow.height == wide.height


def test_what_it_cannot_draw_is_refused_by_name():
    with pytest.raises(UsageError, match=r"'share': found a trace of type pie, wanted scatter, .*heatmap"):
        png(go.Figure(go.Pie(values=[1, 2], name="share")))


def test_a_models_page_is_small_and_has_a_picture_for_each_chart(tmp_path):
    page = tmp_path / "page.html"
    assert main.main(["report", str(MODEL), "--still", "-o", str(page)]) == 0
    text = page.read_text()
    assert page.stat().st_size < 400_000
    assert text.count("<figure") == text.count("<img alt=") == 7
    assert "<script" not in text and "plotly" not in text


def test_lines_of_eight_colours_in_space_keep_them():
    random = np.random.default_rng(0)
    figure = go.Figure()
    for number, colour in enumerate(COLOURS[:8]):
        x, y, z = random.standard_normal((3, 60)).cumsum(1)
        look = {"color": colour, "width": 4}
        figure.add_trace(go.Scatter3d(x=x, y=y, z=z, mode="lines", name=f"start {number}", line=look))
    image = pixels(figure)
    for colour in COLOURS[:8]:
        wanted = tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
        assert len(where(image, wanted, tolerance=10)[0]) > 20, colour
