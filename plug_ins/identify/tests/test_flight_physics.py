"""Scale and sign against physics: what contradicts is named with what it probably is, and a true flight passes.

Oracle: flights of the simulator, whose units, frames and motors are known, spoilt in one way each.
"""

import dataclasses

import numpy as np
import pytest
from simulated_flight import CRAZYFLIE, simulate

from spike_ctrl_identify import IdentifyError, flight_choice
from spike_ctrl_identify.column_map import ANGLE, LENGTH, RATE, TIME
from spike_ctrl_identify.fit import Identification
from spike_ctrl_identify.flight_physics import Contradiction, contradictions, told
from spike_ctrl_identify.flight_windows import Windows
from spike_ctrl_identify.logged_flight import Declared, Series


@pytest.fixture(scope="module")
def flight():
    return simulate(seconds=12, trim=(1e-4, -1e-4, 0), seed=3)


def series(flight, rest=100) -> dict[str, Series]:
    """What an import has of it; it stands with its motors off for `rest` ticks first."""
    time = np.arange(len(flight.state) + rest) / 100
    parts = {"position": slice(0, 3), "quaternion": slice(3, 7), "velocity": slice(7, 10), "rates": slice(10, 13)}
    stands = np.zeros((rest, 13))
    stands[:, 6] = 1
    state = np.vstack([stands, flight.state])
    found = {name: Series(time, state[:, part]) for name, part in parts.items()}
    return found | {"motors": Series(time, np.vstack([np.zeros((rest, 4)), flight.command]))}


def changed(flight, **by):
    return {name: Series(*by[name](one)) if name in by else one for name, one in series(flight).items()}


def scaled(factor):
    return lambda one: (one.time, one.value * factor)


def in_order(*columns):
    return lambda one: (one.time, one.value[:, columns])


def ned(one):
    """As if a vector in ENU had been declared NED."""
    return one.time, one.value[:, [1, 0, 2]] * [1, 1, -1]


def upward(one):
    return one.time, one.value * [1, 1, -1]


def test_a_flight_in_the_right_units_and_frames_contradicts_nothing(flight):
    assert contradictions(series(flight)) == []


@pytest.mark.parametrize(
    ("change", "quantity", "words", "scale"),
    [
        ({"rates": scaled(180 / np.pi)}, "rates", "turned 5", np.pi / 180),
        ({"rates": scaled(np.pi / 180)}, "rates", "turned 0.017", 180 / np.pi),
        ({"rates": scaled([1, -1, -1])}, "rates", "turns against the attitude about y", None),
        ({"position": scaled(100)}, "position", "moves 1", 0.01),
        ({"velocity": scaled(100)}, "velocity", " times that of the position", 0.01),
        ({"position": ned}, "velocity", "moves as the position does in the other of ENU and NED", None),
        ({"position": ned, "velocity": ned}, "velocity", "the other of ENU and NED", None),
        ({"position": upward, "velocity": upward}, "position", "m below where it stood: its height looks upward", None),
        ({"motors": in_order(3, 1, 2, 0)}, "motors", "front-right and front-left look swapped", None),
        ({"motors": in_order(0, 2, 1, 3)}, "motors", "back-right and back-left look swapped", None),
        ({"motors": in_order(1, 2, 3, 0)}, "motors", "the order looks wrong", None),
    ],
)
def test_what_is_spoilt_is_named(flight, change, quantity, words, scale):
    found = contradictions(changed(flight, **change))[0]
    assert found.quantity == quantity and words in found.words
    assert found.scale == (pytest.approx(scale, rel=0.3) if scale else None)


def test_a_take_off_from_a_table_to_a_lower_flight_is_none(flight):
    flown = series(flight)
    height = flown["position"].value[:, 2].copy()
    height[:100], height[100:130] = 2.6, 2.8  # on the table, and just above it
    flown["position"].value[:, 2] = height
    assert "position" not in {found.quantity for found in contradictions(flown)}


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_a_wrong_unit_of_the_time_is_told_from_wrong_units_of_all_else(flight, factor):
    found = contradictions({name: Series(one.time * factor, one.value) for name, one in series(flight).items()})[0]
    assert found.quantity == "time" and found.scale == pytest.approx(1 / factor, rel=0.3)


@pytest.mark.parametrize(
    ("found", "declared", "words"),
    [
        (Contradiction("rates", "turned 57 times as far", 1 / 57), Declared(("p", "q", "r"), "rad/s", RATE),
         "rates, columns p, q, r: turned 57 times as far; looks like deg/s, declared rad/s"),
        (Contradiction("time", "too fast", 1e3), Declared(("t",), "ms", TIME),
         "time, column t: too fast; looks like s, declared ms"),
        (Contradiction("position", "far", 1e-2), Declared(("x", "y", "z"), "m", LENGTH), "looks like cm, declared m"),
        (Contradiction("rates", "turned 5 times", 0.2), Declared(("p",), "rad/s", RATE), "5 times; declared rad/s"),
        (Contradiction("motors", "swapped"), Declared(("a", "b"), "share", ANGLE), "motors, columns a, b: swapped"),
    ],
)  # fmt: skip
def test_what_is_told_names_columns_and_the_likely_unit(found, declared, words):
    text = told(found, {found.quantity: declared})
    assert text.endswith(words)


def test_a_short_flight_and_one_that_does_not_move_tell_nothing(flight):
    assert contradictions({name: Series(one.time[:200], one.value[:200]) for name, one in series(flight).items()}) == []
    still = series(flight._replace(state=np.tile(flight.state[0], (1200, 1)), command=np.full((1200, 4), 0.6)))
    assert contradictions(still | {"rates": Series(still["rates"].time, np.zeros((1300, 3)))}) == []


def test_a_fit_refuses_a_bag_whose_motors_are_swapped_by_file_and_columns(flight):
    swapped = flight._replace(command=flight.command[:, [3, 1, 2, 0]])
    origin = {"source": "a.csv", "columns": {"motors": ["m1", "m2", "m3", "m4"]}}
    flight_choice.require_physics("bags/a", flight, origin)
    with pytest.raises(
        IdentifyError, match=r"bags/a, from a.csv: motors, columns m1, m2, m3, m4: front-right and front-left"
    ):
        flight_choice.require_physics("bags/a", swapped, origin)


def test_a_flight_that_never_takes_off_is_left_out_with_why(flight):
    assert flight_choice.unfit(flight) == ""
    low = flight._replace(state=flight.state * np.where(np.arange(13) == 2, 0, 1), good=np.zeros_like(flight.good))
    assert flight_choice.unfit(low) == "it never takes off: 0.00 m at most, wanted more than 0.25"
    gaps = flight.good & (np.arange(len(flight.good)) % 100 > 0)
    assert "wanted 2 s of it without a gap" in flight_choice.unfit(flight._replace(good=gaps))


def test_a_fit_to_windows_worse_than_knowing_nothing_is_refused():
    state = np.zeros((31, 20, 13))
    state[..., 7] = np.linspace(0, 1, 31)[:, None]
    state[..., 10] = np.linspace(0, 2, 31)[:, None]
    windows = Windows(state, np.zeros((30, 20, 4)), np.zeros((30, 20, 3)), 5)
    found = Identification(CRAZYFLIE, (), 20, 25, (1.0, 1.0), (0.01, 0.1), "")
    flight_choice.require_use_of_windows(found, windows)
    with pytest.raises(IdentifyError, match=r"predicts 0.25 s with .* wanted less than 1"):
        flight_choice.require_use_of_windows(dataclasses.replace(found, error=(0.1, 1.0)), windows)


def test_an_airframe_worse_than_knowing_nothing_is_refused(flight):
    flight_choice.require_use(CRAZYFLIE, [flight])
    swapped = flight._replace(command=flight.command[:, [2, 3, 0, 1]])
    with pytest.raises(IdentifyError, match="times the error of holding the state, or of constant velocity and rates"):
        flight_choice.require_use(CRAZYFLIE, [swapped])
