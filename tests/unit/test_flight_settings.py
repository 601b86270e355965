"""The settings of a flight are checked before it begins."""

import ast
import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.certification.flight_bag import FlightBag
from spike_ctrl.flight import flight_settings
from spike_ctrl.flight.answer_checks import AnswerLimits, CourseLimits
from spike_ctrl.flight.autopilot import AutopilotLimits
from spike_ctrl.flight.bridge import BridgedState
from spike_ctrl.flight.envelope import Envelope
from spike_ctrl.flight.flight_settings import FlightSettings, settings_for
from spike_ctrl.flight.geofence import Cage
from spike_ctrl.flight.state_checks import Sample, StateLimits
from spike_ctrl.flight.supervisor import step
from spike_ctrl.flight.supervisor_state import SupervisorInputs, SupervisorState
from spike_ctrl.recordings.flight_log import read_log

# Numbers of flight/ that stand at the top of a module and are no setting: they decide about no fault.
OTHER_NUMBERS = {
    "answer_checks": ["KEPT_STATES", "WINDOW", "WINDOW_MASK"],  # sizes of windows, of which the settings tell
    "bridge": ["LEAD"],
    "estimate_quality": [
        "ATTITUDE", "VELOCITY_HORIZONTAL", "VELOCITY_VERTICAL", "POSITION_HORIZONTAL", "POSITION_VERTICAL",
        "CONSTANT_POSITION", "AIDED", "UNKNOWN_FLAGS",
    ],  # MAVLink's
    "flight_statistics": ["SLOW"],
    "measured_voltage": ["SETTLED", "STALE", "KEPT"],
    "queued_states": ["LONGEST", "STOOD"],  # of the policy's node
    "realtime_scheduling": ["PRIORITY", "HIGHEST"],
    "rehearsal": ["VEHICLES", "SEED"],
    "state_checks": ["WINDOW", "_WINDOW_MASK"],
    "supervisor": ["STATUS_PERIOD", "REPEAT_TIME"],
}  # fmt: skip


def test_the_defaults_are_valid():
    assert FlightSettings().state.period == 0.01


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "torques"}, "supervisor: layout: found 'torques', wanted one of rates, motors"),
        ({"stall": 3.0}, "supervisor: stall: found 3.0, wanted 0.01 to 0.2"),
        ({"hover": math.nan}, "supervisor: hover: found nan, wanted -1 to 1"),
        ({"envelope": Envelope(tilt=9.0)}, "supervisor: envelope: tilt: found 9.0, wanted 0.1 to 3.14159"),
        ({"answers": AnswerLimits(stuck=1)}, "supervisor: answers: stuck: found 1, wanted 2 to 1000"),
    ],
)
@pytest.mark.proves("41U")
def test_a_number_out_of_range_is_refused_by_name(change, message):
    with pytest.raises(UsageError, match=f"^{message}$"):
        FlightSettings(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state": StateLimits(rates_age=0.015)}, "rates_age: found 0.015 s, wanted two control periods, 0.02 s"),
        ({"state": StateLimits(state_age=0.2)}, "state_age: found 0.2, wanted at most guide_age, 0.1"),
        ({"state": StateLimits(future=0.2)}, "future: found 0.2, wanted at most delay, 0.1"),
        ({"answers": AnswerLimits(silent=0.05)}, "silent: found 0.05 s, wanted at most three control periods"),
        ({"answers": AnswerLimits(spike_low=0.7)}, "spike_low: found 0.7, wanted at most spike_high, 0.6"),
        ({"autopilot": AutopilotLimits(battery_critical=0.5)}, "critical: found 0.5, wanted at most battery_low, 0.3"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused_by_name(change, message):
    with pytest.raises(UsageError, match=message):
        replace(FlightSettings(), **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low": (-1.0, -1.0, 2.5)}, "cage: z: found 2.5 to 3.0 m, wanted more than twice the margin, 0.5 m"),
        ({"high": (3.0, math.inf, 3.0)}, "wanted two corners of three finite numbers"),
        ({"low": (0.0, 0.0)}, "wanted two corners of three finite numbers"),
        ({"margin": -1.0}, "cage: margin: found -1.0, wanted 0 to 20"),
    ],
)
def test_an_impossible_cage_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        Cage(**change)


def test_every_number_of_a_flight_has_bounds_around_its_default_and_a_sentence():
    for one in flight_settings.setting_table(FlightSettings()):
        assert one.low <= one.value <= one.high and one.about.endswith((".", ",")), one.path


def test_a_new_number_out_of_range_is_refused_by_name():
    wrong = replace(AnswerLimits(), course=CourseLimits(height_off=0.0))
    with pytest.raises(UsageError, match="answers: course: height_off: found 0"):
        FlightSettings(answers=wrong)


def test_a_bag_holds_all_numbers_that_a_flight_was_flown_with_as_json():
    settings = settings_for(airframe.load("crazyflie"), 100.0, cage="absolute:-1,-1,0,1,1,2")
    found = json.loads(flight_settings.as_json(settings), parse_constant=pytest.fail)
    assert all(found[one.path] == one.value for one in flight_settings.setting_table(settings))
    assert (found["layout"], found["cage.high"], found["cage.relative"]) == ("motors", [1.0, 1.0, 2.0], False)
    assert found["answers.course.height_off"] == 0.4 and found["farewell"] == 0.05
    assert json.loads(flight_settings.as_json(settings, paced=True)) == found | {"paced": True}


def test_the_bag_of_a_certified_flight_holds_its_settings(tmp_path):
    settings = settings_for(airframe.load("sih_quadx"), 100.0)
    core = SimpleNamespace(clock=SimpleNamespace(now=1.0), settings=settings, state=SupervisorState())
    sample = Sample(1, 1.0, 1.0, (0.0, 0.0, 1.0), (0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    bag = FlightBag(tmp_path / "bag", "none", b"")
    bag.state(1.0, BridgedState(sample, None, False), None, False)
    for _ in range(2):
        bag.output(core, step(core.state, SupervisorInputs(1.0), settings)[1])
    bag.close()
    assert read_log(tmp_path / "bag").settings == json.loads(flight_settings.as_json(settings))


def test_no_module_of_the_flight_has_a_limit_of_its_own():
    def numbers(node):
        return [part for part in ast.walk(node) if isinstance(part, ast.Constant) and type(part.value) in (int, float)]

    found = {}
    for path in sorted(Path(flight_settings.__file__).parent.glob("*.py")):
        assigned = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.Assign) and numbers(n.value)]
        names = [name.id for node in assigned for name in ast.walk(node.targets[0]) if isinstance(name, ast.Name)]
        found |= {path.stem: names} if names else {}
    assert found == OTHER_NUMBERS
