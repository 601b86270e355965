"""A report draws what the adapter estimated, what it offered and who commanded, each at its time."""

import numpy as np
import pytest
from recorded import Bag

from spike_ctrl import airframe
from spike_ctrl.recordings.flight_log import FlightEvent, read_log
from spike_ctrl.report.flight_charts import ChartedFlight
from spike_ctrl_adaptation.adaptation_charts import drawn
from spike_ctrl_adaptation.adapter_log import AdapterLog, NamedAt, ToldEstimates, adapter_log
from spike_ctrl_adaptation.plant_estimate import unchanged

SECOND, BEGUN = 10**9, 50 * 10**9
FIRST, CHILD, WORSE = "models/a.safetensors", "models/a.safetensors+1", "models/a.safetensors+2"


def at(seconds):
    return BEGUN + round(seconds * SECOND)


NOTHING = ToldEstimates(np.empty(0, np.int64), {})
FLIGHT = ChartedFlight(
    "flight", np.arange(2000) / 100, np.full((2000, 18), 0.1), np.zeros((2000, 4)), "rates", counts=np.ones(2000, bool)
)


@pytest.fixture(scope="module")
def chart():
    """Estimates four times a second but for 6 to 9 s; a child flies from 10 to 16 s, and another from 12 to 14 s."""
    seconds = np.concatenate([np.arange(4, 6, 0.25), np.arange(9, 16, 0.25)])
    drag = np.where(seconds < 12, 0.5, np.nan)
    values = {"force_x": 0.2 * seconds, "drag": drag}
    values |= {
        f"{name}_{end}": middle + off for name, middle in list(values.items()) for end, off in (("low", -1), ("high", 2))
    }
    told = ToldEstimates(BEGUN + (seconds * SECOND).astype(np.int64), values)
    names = [(0, ""), (1, FIRST), (10, CHILD), (12, WORSE), (14, CHILD), (16, "")]
    events = [
        FlightEvent(at(11.5), "ok", f"{CHILD} (epoch 1) kept: 0.05 m off, 0.16 m before"),
        FlightEvent(at(14), "warning", f"{WORSE} (epoch 2) rolled back to {CHILD} (epoch 1): 0.55 m off, 0.05 m before"),
    ]
    offers = [NamedAt(at(9), CHILD), NamedAt(at(11.6), WORSE)]
    found = drawn(AdapterLog(told, offers, [NamedAt(at(s), name) for s, name in names]), events, FLIGHT, BEGUN)
    assert [one.title for one in found] == ["Adaptation"]
    return found[0]


def marks(chart):
    return {
        trace.name: [(round(x, 6), text) for x, text in zip(trace.x, trace.text, strict=True)]
        for trace in chart.figure.data
        if trace.mode == "markers+text"
    }


def test_offers_swaps_and_verdicts_stand_at_their_times_with_the_policys_name(chart):
    assert marks(chart) == {
        "offered": [(9, "a+1"), (11.6, "a+2")],
        "takes over": [(10, "a+1"), (12, "a+2")],
        "kept": [(11.5, "a+1")],
        "rolled back": [(14, "a+2")],
    }


def test_each_policys_time_in_command_is_shaded_and_a_colour_means_one_policy(chart):
    seen = [(s.x0, s.x1, s.fillcolor) for s in chart.figure.layout.shapes if s.xref == "x"]
    assert [span[:2] for span in seen] == [(1, 10), (10, 12), (12, 14), (14, 16)]
    assert seen[1][2] == seen[3][2] and len({colour for *_, colour in seen}) == 3


def test_an_estimate_is_a_line_in_its_interval_with_a_gap_where_nothing_was_told(chart):
    lines = {name: [t for t in chart.figure.data if t.name == name] for name in ("force_x", "drag")}
    ends = {name: [(round(t.x[0], 6), round(t.x[-1], 6)) for t in traces] for name, traces in lines.items()}
    assert ends == {"force_x": [(4, 5.75), (9, 15.75)], "drag": [(4, 5.75), (9, 11.75)]}
    outlines = [t for t in chart.figure.data if t.fill == "toself" and t.legendgroup == "force_x"]
    assert outlines[1].y.max() == pytest.approx(0.2 * 15.75 + 2) and outlines[1].y.min() == pytest.approx(0.2 * 9 - 1)


def test_only_what_was_identified_has_a_row(chart):
    titles = [note.text for note in chart.figure.layout.annotations]
    assert titles[2:] == ["force over mass (m/s^2)", "drag over mass (1/s)"]


def test_it_can_be_drawn_as_a_picture(chart):
    png = pytest.importorskip("spike_ctrl_view.static_charts").png
    assert png(chart.figure, wide=True).startswith(b"\x89PNG")


def test_a_flight_without_an_adapter_has_no_such_chart():
    assert drawn(AdapterLog(NOTHING, commanding=[NamedAt(at(1), FIRST)]), [], FLIGHT, BEGUN) == []


def test_what_the_adapter_tells_comes_back_from_a_bag(tmp_path):
    told = unchanged(airframe.load("sih_quadx")).figures
    assert set(told) == {"lift", "lift_low", "lift_high"}  # before any data nothing is identified
    bag = Bag(tmp_path / "bag")
    for tick in range(3):
        when = tick * SECOND
        bag.write("/flight_state", "FlightState", when, tick=tick)
        bag.write("/supervisor/status", "SupervisorStatus", when, rung=0)
        bag.diagnostics(when, "adapter" if tick else "recorder", told if tick != 2 else told | {"drag": 0.5})
    bag.write("/command", "FlightCommand", SECOND, commander=1, checkpoint_id="guide")
    bag.write("/command", "FlightCommand", 2 * SECOND, commander=0, checkpoint_id=CHILD)
    bag.write("/policy/checkpoint", "Checkpoint", SECOND, name=CHILD)
    bag.writer.close()
    log = adapter_log(read_log(tmp_path / "bag").messages)
    assert log.estimates.received.tolist() == [SECOND, 2 * SECOND]
    assert np.allclose(log.estimates.values["lift_low"], told["lift_low"], rtol=1e-3)
    np.testing.assert_array_equal(log.estimates.values["drag"], [np.nan, 0.5])
    assert log.offers == (NamedAt(SECOND, CHILD),)
    assert log.commanding == (NamedAt(SECOND, ""), NamedAt(2 * SECOND, CHILD))
