"""What the launch of a race is given, and what it refuses."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from spike_ctrl_racing import course_flight


@pytest.fixture
def launched():
    """The values of a launch with these arguments, after `prepare`, and the launch itself."""
    course_flight.ROOMS.clear()
    course_flight.TOLD.clear()

    def prepare(**values):
        context = SimpleNamespace(launch_configurations=values)
        course_flight.prepare(context)
        return context, values

    yield prepare
    course_flight.ROOMS.clear()
    course_flight.TOLD.clear()


def test_a_race_gets_its_room_its_height_and_its_guide(launched):
    context, values = launched(model="racer_gates", trajectory="course:hall::1")
    course_flight.check(context)
    assert values["model"].endswith("racer_gates.safetensors") and values["airframe"] == "racer"
    assert (values["recipe"], values["height"]) == ("default", "3.45")
    a, b, c, d, e, f = map(float, values["cage"].split(","))
    assert 22 < d - a < 30 and 12 < e - b < 15 and f < 6 and c == -0.5
    assert "the hall must leave free" in course_flight.TOLD[0] and values["cage"] in course_flight.TOLD[0]


@pytest.mark.parametrize(
    "given, words",
    [
        ({"trajectory": "course:hall::1", "cage": "-8,-8,-0.5,8,8,6"}, "cage: found -"),
        ({"trajectory": "course:hall::1", "recipe": "rates"}, "recipe: found 'rates', wanted default"),
        ({"trajectory": "course:hall::1", "setpoint": "0,0,1.2"}, "setpoint: found '0,0,1.2', wanted none"),
        ({"trajectory": "course:lemniscate::1"}, "simulated races completed"),
    ],
)
def test_a_race_that_cannot_be_flown_is_refused(launched, given, words):
    context, _ = launched(model="racer_gates", **given)
    with pytest.raises(ValueError, match=words):
        course_flight.check(context)


def test_a_race_that_the_supervisor_would_end_for_its_speed_is_refused(launched):
    context, _ = launched(model="racer_gates", trajectory="course:hall::1")
    (room,) = course_flight.ROOMS
    course_flight.ROOMS[:] = [room._replace(races=[replace(room.races[0], fastest=15.4), *room.races[1:]])]
    with pytest.raises(ValueError, match=r"trajectory: found 15.4 m/s in a simulated race, wanted at most 15.0 m/s"):
        course_flight.check(context)


def test_other_flights_stay_as_they_are(launched):
    context, values = launched(model="racer_gates", trajectory="circle:1:8")
    course_flight.check(context)
    assert values == {"model": "racer_gates", "trajectory": "circle:1:8"} and not course_flight.ROOMS
