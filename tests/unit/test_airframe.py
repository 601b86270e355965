"""Airframe files: what they compute, and the one line that each mistake in them gets."""

import dataclasses

import pytest
import yaml

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe, BatteryModel

NAMES = ("crazyflie", "crazyflie_l2f", "sih_quadx")


def mapping(**changes):
    """The YAML of sih_quadx as a mapping with some keys changed; None removes one. `a__b` is key b within a."""
    data = yaml.safe_load(resources.find("config", "airframes/sih_quadx.yaml").read_text())
    for path, value in changes.items():
        *outer, key = path.split("__")
        place = data[outer[0]] if outer else data
        if value is None:
            del place[key]
        else:
            place[key] = value
    return data


def refusal(*arguments, of=airframe.from_dict):
    with pytest.raises(UsageError) as raised:
        of(*arguments)
    message = str(raised.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("name", "hover"), [("crazyflie", 0.660), ("crazyflie_l2f", 0.806), ("sih_quadx", 0.4905)])
def test_the_hover_throttle_carries_the_weight(name, hover):
    craft = airframe.load(name)
    assert craft.hover == pytest.approx(hover, abs=5e-4)
    assert 4 * craft.thrust(craft.hover) == pytest.approx(craft.mass * 9.81)


@pytest.mark.parametrize(("name", "ratio"), [("crazyflie_l2f", 1.47), ("sih_quadx", 2.04)])
def test_thrust_to_weight_is_the_published_one(name, ratio):
    assert airframe.load(name).thrust_to_weight == pytest.approx(ratio, abs=0.01)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Airframe)])
def test_the_hash_changes_with_each_physical_parameter_and_not_with_the_name(field):
    craft = airframe.load("sih_quadx")
    value = getattr(craft, field)
    if field == "rate_loop":
        other = dataclasses.replace(value, delay=0.02)
    elif field == "battery":
        other = BatteryModel(4.2, 3.2, 3.9, 0.5, 0.3, 300.0, 0.9)
    elif field == "dead_time":
        other = 0.01
    elif isinstance(value, str):
        other = value + "x"
    elif isinstance(value, tuple):
        other = (value[0] + 1, *value[1:])
    else:
        other = value * 2
    assert (dataclasses.replace(craft, **{field: other}).hash == craft.hash) == (field == "name")


def test_the_hash_is_the_same_for_the_same_numbers_in_another_notation():
    assert airframe.from_dict(mapping(mass="1e0 kg")).hash == airframe.load("sih_quadx").hash


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_airframe_has_the_name_of_its_file(name):
    assert airframe.load(name).name == name


@pytest.mark.parametrize("name", NAMES)
def test_an_airframe_comes_back_from_the_mapping_that_it_gives(name):
    craft = airframe.load(name)
    odd = dataclasses.replace(craft, name="odd", mass=craft.mass * (1 + 2**-50))
    for one in (craft, odd):
        assert airframe.from_dict(yaml.safe_load(yaml.safe_dump(airframe.to_dict(one)))) == one


def test_an_airframe_is_found_by_path_too(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(mapping(name="mine")))
    assert airframe.load(str(path)) == airframe.load(path) == airframe.Airframe.load(path)
    assert airframe.load(path).name == "mine"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"masss": "1 kg"}, "car: unknown key 'masss'; did you mean 'mass'?"),
        ({"rate_loop__dealy": "0 s"}, "car: unknown key 'rate_loop.dealy'; did you mean 'delay'?"),
        ({"mass": None}, "car: key 'mass' is missing"),
        ({"rate_loop__delay": None}, "car: key 'rate_loop.delay' is missing"),
        ({"mass": "27 g"}, "car: mass: found unit 'g', wanted 'kg'"),
        ({"mass": 0.027}, "car: mass: found '0.027', wanted a number and the unit 'kg'"),
        ({"mass": "heavy kg"}, "car: mass: found 'heavy kg', wanted a number and the unit 'kg'"),
        ({"mass": "nan kg"}, "car: mass: found nan kg, wanted 0.001 to 100"),
        ({"mass": "-1 kg"}, "car: mass: found -1 kg, wanted 0.001 to 100"),
        ({"inertia": "1e-5 1e-5 kg m^2"}, "car: inertia: found '1e-5 1e-5 kg m^2', wanted 3 numbers and the unit 'kg m^2'"),
        ({"inertia": [1, 1, 1]}, "car: inertia: found '[1, 1, 1]', wanted 3 numbers and the unit 'kg m^2'"),
        ({"inertia": "0.025 0.025 0 kg m^2"}, "car: inertia: found 0 kg m^2, wanted 1e-08 to 100"),
        ({"lag_up": "5 s"}, "car: lag_up: found 5 s, wanted 0.001 to 2"),
        ({"name": 7}, "car: name: found 7, wanted text"),
        ({"action_layout": "wings"}, "car: action_layout: found 'wings', wanted one of motors, rates"),
        ({"rate_loop": None}, "car: rate_loop: missing, wanted because action_layout is 'rates'"),
        ({"rate_loop": 3}, "car: rate_loop: found a whole number, wanted a mapping of keys to values"),
        (
            {"rotor_x": "0.2 0.2 -0.2 -0.2 m"},
            "car: rotor_x, rotor_y: wanted the order front-right, back-right, back-left, front-left in FLU",
        ),
        (
            {"rotor_spin": "1 1 1 -1 1"},
            "car: rotor_spin: found (1.0, 1.0, 1.0, -1.0), wanted two rotors at 1 and two at -1",
        ),
        (
            {"rotor_spin": "1 1 -1 -1 1"},
            "car: rotor_spin: found (1.0, 1.0, -1.0, -1.0), wanted the same spin on each diagonal",
        ),
        ({"thrust_curve": "0 -5 0 N"}, "car: thrust_curve: found (0.0, -5.0, 0.0), wanted a thrust that is >= 0 and grows"),
        ({"mass": "3 kg"}, "car: thrust_curve, mass: thrust/weight is 0.68, wanted at least 1.1"),
        ({"mass": "0.05 kg"}, "car: thrust_curve, mass: hover throttle is 0.02, wanted .05 to .95"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
def test_a_mistake_gets_one_line_with_file_key_found_and_wanted(changes, wanted):
    assert refusal(mapping(**changes), "car").startswith(wanted)


def test_an_unknown_key_without_a_likely_one_lists_those_that_are_known():
    assert refusal(mapping(wheels=4), "car").startswith("car: unknown key 'wheels'; known keys: name, mass, inertia,")


@pytest.mark.parametrize(
    ("text", "found"), [("", "nothing"), ("- 1\n", "a list"), ("7\n", "a whole number"), ("words\n", "text")]
)
def test_a_file_that_holds_no_mapping_is_refused(tmp_path, text, found):
    path = tmp_path / "car.yaml"
    path.write_text(text)
    assert refusal(path, of=airframe.load) == f"airframe {path}: found {found}, wanted a mapping of keys to values"


@pytest.mark.parametrize("text", ["mass: [1 kg", "a: b: c", "\x00", "mass: 1 kg\nmass: 2 kg"])
def test_a_file_that_is_not_yaml_is_refused(tmp_path, text):
    path = tmp_path / "car.yaml"
    path.write_text(text)
    assert refusal(path, of=airframe.load).startswith(f"airframe {path}: not valid YAML (")


def test_a_file_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "car.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert refusal(path, of=airframe.load).startswith(f"airframe {path}: not valid YAML (")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    path = tmp_path / "car.yaml"
    assert refusal(str(path), of=airframe.load) == f"airframe {path}: cannot be read (No such file or directory)"
    path.mkdir()
    assert refusal(str(path), of=airframe.load) == f"airframe {path}: cannot be read (Is a directory)"


def test_an_unknown_name_lists_the_known_ones():
    message = refusal("crazyfly", of=airframe.load)
    assert message.startswith("airframe 'crazyfly' not found; known: ")
    for name in NAMES:
        assert name in message


def test_a_vehicle_that_differs_from_its_description_in_mass_thrust_and_lag():
    craft = airframe.load("sih_quadx")
    other = airframe.altered(craft, mass=1.2, thrust=0.8, lag=1.5)
    assert (other.mass, other.thrust(1.0), other.lag_up, other.rate_loop.delay) == pytest.approx((1.2, 4.0, 0.075, 0.015))
    assert other.thrust_to_weight == pytest.approx(4 * 4.0 / (1.2 * 9.81)) and other.rate_loop.proportional[0] == 0.15
    assert airframe.altered(craft) == craft
    with pytest.raises(UsageError, match=r"sih_quadx, mass x 2, thrust x 1, lag x 1: .*thrust/weight is 1\.02"):
        airframe.altered(craft, mass=2.0)
