"""The physics that Gazebo reads from our files is that of the airframe, told from the files alone."""

import dataclasses
from xml.etree import ElementTree

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli.main import main
from spike_ctrl_sitl.gazebo import model_files

X500 = airframe.load("x500")
# Body FLU of each of our rotors, and the one of PX4's (FRD, 1 to 4) that stands there.
PX4_PLACES = [(1, -1), (-1, 1), (1, 1), (-1, -1)]


def number(element, path):
    return float(element.find(path).text)


@pytest.fixture
def craft():
    return ElementTree.fromstring(model_files.model(X500)).find("model")


def place(link):
    return np.array([float(word) for word in (link.findtext("pose") or "0 0 0").split()[:3]])


def test_all_links_together_have_the_mass_and_inertia(craft):
    mass, inertia = 0.0, np.zeros(3)
    for link in craft.findall("link"):
        m, (x, y, z) = number(link, "inertial/mass"), place(link)
        mass += m
        inertia += [number(link, f"inertial/inertia/{axis}") for axis in ("ixx", "iyy", "izz")]
        inertia += [m * (y * y + z * z), m * (x * x + z * z), m * (x * x + y * y)]
    assert mass == pytest.approx(X500.mass, rel=1e-6)
    assert inertia == pytest.approx(X500.inertia, rel=1e-6)


def test_a_link_has_an_inertia_that_a_body_can_have(craft):
    for link in craft.findall("link"):
        a, b, c = sorted(number(link, f"inertial/inertia/{axis}") for axis in ("ixx", "iyy", "izz"))
        assert 0 < a and c <= (a + b) * (1 + 1e-9)


def test_rotors_stand_where_px4_counts_them_and_turn_as_it_thinks(craft):
    for motor in craft.findall("plugin"):
        n = int(motor.findtext("actuator_number"))
        link = next(link for link in craft.findall("link") if link.get("name") == motor.findtext("linkName"))
        assert np.sign(place(link)[:2]).tolist() == list(PX4_PLACES[n])
        assert np.abs(place(link)[:2]) == pytest.approx([0.174, 0.174])
        assert motor.findtext("turningDirection") == ("ccw" if n < 2 else "cw")


@pytest.mark.parametrize("u", [0.0, 0.3, 0.7288, 1.0])
def test_thrust_torque_and_lag_are_those_of_the_airframe(craft, u):
    environment = model_files.environment(X500, model_files.Path("/x"), "w")
    for motor in craft.findall("plugin"):
        n = int(motor.findtext("actuator_number")) + 1
        low, high = (float(environment[f"PX4_PARAM_SIM_GZ_EC_{end}{n}"]) for end in ("MIN", "MAX"))
        thrust = number(motor, "motorConstant") * (low + (high - low) * u) ** 2
        assert thrust == pytest.approx(X500.thrust(u), rel=2e-3, abs=1e-3)
        assert thrust * number(motor, "momentConstant") == pytest.approx(thrust * X500.torque_per_thrust)
        assert number(motor, "timeConstantUp") == X500.lag_up and number(motor, "timeConstantDown") == X500.lag_down


def test_the_x500_is_the_one_that_px4_ships():
    """Facts of PX4's own model and start-up script; hover at .729 was measured with it."""
    turning = model_files.rotor(X500)
    assert turning.constant == pytest.approx(8.54858e-6, rel=1e-4)
    assert turning.low == pytest.approx(150, abs=0.5) and turning.high == 1000
    assert turning.drag == pytest.approx(8.06428e-5, rel=0.02)
    assert X500.hover == pytest.approx(0.729, abs=2e-3)


def test_px4_is_told_the_rotors_in_its_own_frame():
    """PX4's motor 1 stands front right: x forward, y right, and turns counter-clockwise seen from above."""
    told = model_files.environment(X500, model_files.Path("/x"), "w")
    assert (told["PX4_PARAM_CA_ROTOR0_PX"], told["PX4_PARAM_CA_ROTOR0_PY"]) == ("0.174", "0.174")
    assert float(told["PX4_PARAM_CA_ROTOR0_KM"]) > 0 > float(told["PX4_PARAM_CA_ROTOR2_KM"])


def test_the_world_has_every_sensor_that_the_model_needs(craft):
    world = ElementTree.fromstring(model_files.world("lab")).find("world")
    assert world.get("name") == "lab"
    systems = {plugin.get("filename") for plugin in world.findall("plugin")}
    for sensor in craft.iter("sensor"):
        assert f"gz-sim-{sensor.get('type').replace('_', '-')}-system" in systems
    assert number(world, "physics/max_step_size") == 0.004


def test_each_sensor_that_px4_watches_for_change_has_the_noise_of_px4s_own_x500(craft):
    """PX4 calls a gyro, barometer or magnetometer whose value never changes stale, and does not fly."""
    deviations = {
        "imu": {"angular_velocity": 0.00087, "linear_acceleration": 0.0066},
        "air_pressure": {"pressure": 3.0},
        "magnetometer": {"x": 1e-4, "y": 1e-4, "z": 1e-4},
    }
    for kind, quantities in deviations.items():
        (sensor,) = (each for each in craft.iter("sensor") if each.get("type") == kind)
        for quantity, deviation in quantities.items():
            found = [noise for noise in sensor.find(f"{kind}/{quantity}").iter("noise")]
            assert len(found) == (3 if kind == "imu" else 1)
            for noise in found:
                assert noise.get("type") == "gaussian" and number(noise, "stddev") == pytest.approx(deviation, rel=0.05)


def test_a_vehicle_at_height_zero_stands_on_the_ground(craft):
    (collision,) = craft.iter("collision")
    middle = float(collision.findtext("pose").split()[2])
    height = float(collision.findtext("geometry/box/size").split()[2])
    assert middle - height / 2 == pytest.approx(0.0) and craft.find("pose") is None


def test_the_world_runs_at_the_speed_that_is_asked_for_from_its_first_step():
    world = ElementTree.fromstring(model_files.world("lab", 2)).find("world")
    assert number(world, "physics/real_time_factor") == 2


@pytest.mark.parametrize(("given", "blows"), [(0.0, "0 0 0"), (3.0, "0 -3 0"), (-2.5, "0 2.5 0")])
def test_the_wind_blows_from_north_in_a_frame_that_points_east_and_north(given, blows):
    world = ElementTree.fromstring(model_files.world("lab", wind=given)).find("world")
    assert world.findtext("wind/linear_velocity") == blows


def test_px4_takes_the_satellites_for_as_young_as_gazebos_are():
    """Its default, 110 ms, put the estimate .1 m off on a figure-eight of 1 m in 8 s; with 0 it was .03 m."""
    assert model_files.environment(X500, model_files.Path("/x"), "w")["PX4_PARAM_EKF2_GPS_DELAY"] == "0"


@pytest.mark.installed
def test_the_command_writes_files_that_parse(tmp_path, capsys):
    assert main(["gazebo", "-o", str(tmp_path)]) == 0
    for line in capsys.readouterr().out.splitlines():
        if line.endswith((".sdf", ".config")):
            ElementTree.parse(line)
    assert "export PX4_SIM_MODEL='gz_x500'" in (tmp_path / "px4.env").read_text()


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("sih_quadx", "thrust_curve: found 0 5 0 N"), ("crazyflie", "thrust_curve: found 0.0213 -0.0112 0.1201 N")],
)
def test_a_thrust_that_gazebo_cannot_give_is_refused_by_name(name, wanted, capsys, tmp_path):
    assert main(["gazebo", name, "-o", str(tmp_path)]) == 2
    assert wanted in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_drag_that_gazebo_cannot_give_is_refused():
    with pytest.raises(UsageError, match=r"angular_drag: found 0\.1 N m s/rad, wanted 0"):
        model_files.rotor(dataclasses.replace(X500, angular_drag=0.1))
