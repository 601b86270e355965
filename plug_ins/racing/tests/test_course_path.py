"""The smooth way through a course, and that way as a trajectory of a flight."""

from dataclasses import replace

import numpy as np
import pytest

from spike_ctrl import plug_ins
from spike_ctrl._files.errors import UsageError
from spike_ctrl.control import trajectory
from spike_ctrl.flight.faults import Rung
from spike_ctrl.recordings.flight_log import FlightLog
from spike_ctrl_racing import course_flight, course_path, course_trajectory, flown_course, track, track_sampler
from spike_ctrl_racing.track import Gate, Track

ROW = Track("row", tuple(Gate((4.0 * i, 0.0, 2.0), 0.0) for i in range(3)))


def test_it_passes_all_gates_through_their_centres():
    course = track.load("split_s")
    path = course_path.through(course, 2.0, rounds=2)
    gates, touched, off = course_path.passed(path.position, course, rounds=2)
    assert (gates, touched) == (2 * len(course.gates), 0)
    assert off < 0.02


def test_it_rests_at_both_ends_and_keeps_speed_and_acceleration():
    path = course_path.through(track.load("split_s"), 3.0, rounds=1)
    fast = np.linalg.norm(path.velocity, axis=1)
    assert fast[0] < 0.05 and fast[-1] < 0.05 and 2.9 < fast.max() < 3.01
    pull = np.linalg.norm(np.diff(path.velocity, axis=0), axis=1) / course_path.STEP
    assert np.quantile(pull, 0.99) < 1.05 * np.hypot(course_path.SIDEWAYS, course_path.ALONG)


def test_a_straight_row_takes_the_time_of_a_ramp():
    """12 m at 2 m/s, of which two ramps of v^2 / 2a = 1.33 m take v / a = 1.33 s each."""
    path = course_path.through(ROW, 2.0, rounds=1)
    assert path.time == pytest.approx(2 / 1.5 * 2 + (12 - 2 * 4 / 3) / 2, abs=0.1)
    assert path.start == course_path.start(ROW) == (-2.0, 0.0, 2.0)


def test_a_drawn_course_can_be_flown():
    assert sum(_passable(track_sampler.draw(3, number)) for number in range(20)) > 12


def _passable(course):
    try:
        return bool(course_path.through(course, 2.0, 1))
    except UsageError:
        return False


def test_a_way_through_a_frame_is_refused():
    """The two gates of a lobe stand 3 m apart and turn by 270 degrees: the cubic curve leads through a frame."""
    with pytest.raises(UsageError, match="touches"):
        course_path.through(track.load("lemniscate"), 2.0, 1)


@pytest.fixture
def several(monkeypatch):
    """The core's reader of trajectories, with the plug-in as if installed."""
    monkeypatch.setattr(plug_ins, "load", lambda point, name, what: course_trajectory.course)
    return lambda text: trajectory.several(text, (1.0, 1.0, 2.0), 0.0, 0.0, 0.0, 20.0)


def test_a_flight_reads_it_between_others(several, tmp_path):
    file = tmp_path / "row.yaml"
    file.write_text("name: row\ngates:\n" + "".join(f"  - {{position: [{4 * i}, 0, 2]}}\n" for i in range(3)))
    before, course, after = several(f"hover,course:{file}:2:1,circle:1:8")
    assert (before.name, course.name, after.name) == ("hover", "course row", "circle")
    assert course.at(0.0).position == pytest.approx((1.0, 1.0, 2.0))
    assert course.at(1e3).position == pytest.approx((13.0, 1.0, 2.0), abs=0.03)  # it rests behind the last gate
    assert 1.9 < course.fastest < 2.01 and course.tilt < 0.3
    (x0, _, _), (x1, _, _) = course.at(3.0).position, course.at(3.2).position
    assert x1 - x0 == pytest.approx(0.2 * course.at(3.1).velocity[0], abs=1e-3)


@pytest.mark.parametrize("words", ["", "split_s:fast", "split_s:2:0", "split_s:99", "split_s:2:1:1"])
def test_what_it_cannot_read_is_refused(several, words):
    with pytest.raises(UsageError, match=r"wanted course:NAME, course:NAME:SPEED"):
        several(f"course:{words}")


def test_a_launch_gets_height_time_and_cage_of_the_course():
    class Context:
        launch_configurations = {"trajectory": "course:split_s:2", "cage": "-9,-9,0,9,9,9"}

    course_flight.prepare(Context)
    values = Context.launch_configurations
    assert (values["height"], values["cage"]) == ("3.60", "-9,-9,0,9,9,9")
    assert float(values["duration"]) > 20


def test_a_recorded_flight_is_judged_by_its_gates():
    path = course_path.through(track.load("split_s"), 3.0, rounds=1)
    moved = path.position + np.array([5.0, -2.0, 0.0])  # the policy was engaged elsewhere
    steps = len(moved)
    log = FlightLog(
        tick=np.arange(steps), received=np.arange(steps), stamp=0.01 * np.arange(steps), position=moved, set_point=moved,
        rung=np.array([int(Rung.SNN)]), rung_received=np.array([-1]), events=(), command_tick=np.empty(0, int),
        command_received=np.empty(0, int),
    )  # fmt: skip
    found = flown_course.judge(log, path.track)
    assert found.complete and (found.passed, found.touched) == (7, 0)
    assert found.top == pytest.approx(3.0, abs=0.1) and found.time == pytest.approx(path.time, abs=0.02)
    aside = replace(log, position=moved + np.array([0.0, 0.9, 0.0]))
    assert not flown_course.judge(aside, path.track).complete
    higher = moved + np.array([0.0, 0.0, 0.6])  # as a race whose vehicle stood higher: its set-point stays at the start
    stays = np.repeat(higher[:1], steps, axis=0)
    assert flown_course.judge(replace(log, position=higher, set_point=stays), path.track).complete
    assert not flown_course.judge(replace(log, position=higher, set_point=higher), path.track).complete
