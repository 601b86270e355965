"""Readings of the simulated sensors in hand-made cases: FRD and NED, SI units, gauss and hPa."""

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from spike_ctrl import airframe
from spike_ctrl.sim import dynamics
from spike_ctrl_sitl.motor_body import Body, BodyMotion
from spike_ctrl_sitl.px4_hil import sensors
from spike_ctrl_sitl.px4_hil.sensors import Noise, Place, Sensors

LEVEL_NORTH = (0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5))  # nose to ENU yaw 90 degrees
LEVEL_EAST = (0.0, 0.0, 0.0, 1.0)
STILL = (0.0, 0.0, 0.0)


def exact(place=Place()):
    return Sensors(place, 0.0, np.random.default_rng(0))


def at_rest(quaternion=LEVEL_NORTH, position=STILL):
    return BodyMotion(position, quaternion, STILL, STILL, STILL)


def test_at_rest_the_accelerometer_feels_minus_g_along_z():
    reading = exact().read(at_rest(), running=False)
    assert reading.accelerometer == pytest.approx((0, 0, -9.81), abs=1e-6)
    assert reading.gyro == pytest.approx((0, 0, 0))


def test_a_vehicle_that_stands_on_the_ground_is_at_rest():
    body = Body(airframe.load("sih_quadx"), 0.004)
    for _ in range(5):
        body.advance((0, 0, 0, 0))
    assert exact().read(body.motion, running=False).accelerometer == pytest.approx((0, 0, -9.81), abs=1e-6)


def test_nose_down_by_a_quarter_turn_gravity_is_felt_along_x():
    nose_down = tuple(Rotation.from_euler("ZY", [90, 90], degrees=True).as_quat())
    # What holds it pushes up, and up is where the tail points.
    assert exact().read(at_rest(nose_down), False).accelerometer == pytest.approx((-9.81, 0, 0), abs=1e-5)


def test_in_free_fall_the_accelerometer_feels_nothing_whatever_the_attitude():
    body = Body(airframe.load("crazyflie"), 0.004)  # without drag; its rotors still push a little at rest
    weightless = [*body.airframe.inertia, 0.0, 0.0, 0.0]
    dynamics.write(body.buffer, slice(dynamics.MASS + 1, dynamics.MASS + 7), [weightless])
    tilted = Rotation.from_euler("ZYX", [30, 50, -70], degrees=True).as_quat()
    dynamics.write(body.buffer, slice(dynamics.POSITION, dynamics.VELOCITY), [[0, 0, 50, *tilted]])
    for _ in range(100):
        body.advance((0, 0, 0, 0))
    assert body.motion.velocity[2] == pytest.approx(-9.81 * 0.4, rel=1e-4)
    assert exact().read(body.motion, False).accelerometer == pytest.approx((0, 0, 0), abs=2e-3)


def test_in_a_coordinated_turn_to_the_right_the_force_is_g_over_cos_bank_along_z():
    bank, speed = math.radians(40), 12.0
    turn = 9.81 * math.tan(bank) / speed  # rad/s, clockwise from above
    attitude = Rotation.from_euler("ZX", [math.pi / 2, bank])  # nose north, right wing low
    velocity, acceleration = (0.0, speed, 0.0), (9.81 * math.tan(bank), 0.0, 0.0)  # north, towards the east
    rates = attitude.inv().apply([0, 0, -turn])
    reading = exact().read(BodyMotion(STILL, tuple(attitude.as_quat()), velocity, acceleration, tuple(rates)), True)
    assert reading.accelerometer == pytest.approx((0, 0, -9.81 / math.cos(bank)), abs=1e-5)
    assert reading.gyro == pytest.approx((0, turn * math.sin(bank), turn * math.cos(bank)), abs=1e-9)


def test_the_magnetometer_points_north_and_down_in_the_northern_hemisphere():
    place = Place(47.0, 8.0, 0.0)
    north, east, down = sensors.magnetic_field(place.latitude)
    assert east == 0 and north > 0 and down > 0
    assert exact(place).read(at_rest(LEVEL_NORTH), False).magnetometer == pytest.approx((north, 0, down), abs=1e-6)
    # Nose east, north lies to the left.
    assert exact(place).read(at_rest(LEVEL_EAST), False).magnetometer == pytest.approx((0, -north, down), abs=1e-6)


def test_the_field_is_that_of_a_dipole():
    assert sensors.magnetic_field(0) == pytest.approx((0.312, 0, 0))
    assert sensors.magnetic_field(90) == pytest.approx((0, 0, 0.624), abs=1e-9)
    assert sensors.magnetic_field(-30)[2] < 0
    north, _, down = sensors.magnetic_field(45)
    assert math.degrees(math.atan2(down, north)) == pytest.approx(63.43, abs=0.01)


@pytest.mark.parametrize(
    ("altitude", "pressure", "temperature"), [(0, 1013.25, 15.0), (1000, 898.74, 8.5), (5000, 540.19, -17.5)]
)
def test_the_barometer_reads_the_standard_atmosphere(altitude, pressure, temperature):
    reading = exact(Place(0.0, 0.0, altitude)).read(at_rest(), False)
    assert reading.pressure == pytest.approx(pressure, abs=0.05)
    assert reading.temperature == pytest.approx(temperature, abs=0.01)
    assert reading.altitude == pytest.approx(altitude, abs=1e-6)


def test_the_gps_counts_metres_from_its_place():
    place = Place(60.0, 10.0, 100.0)
    fix = exact(place).fix(BodyMotion((1000.0, 2000.0, 30.0), LEVEL_EAST, (1.0, 2.0, 3.0), STILL, STILL))
    assert fix.velocity == (2.0, 1.0, -3.0)
    assert fix.altitude == 130.0
    assert fix.latitude - 60 == pytest.approx(2000 / 111194.9, rel=1e-4)  # m per degree of a sphere of 6371 km
    assert fix.longitude - 10 == pytest.approx(1000 / (111194.9 / 2), rel=1e-4)  # half of it at 60 degrees


def test_the_noise_has_the_deviations_it_is_given_and_shrinks_while_the_motors_stand():
    noise = Noise(accelerometer=(1.0, 2.0, 3.0), gyro=(0.1, 0.2, 0.3), pressure=0.5)
    found = Sensors(Place(), 2.0, np.random.default_rng(1), noise)
    running = [found.read(at_rest(), True) for _ in range(4000)]
    assert np.std([r.accelerometer for r in running], axis=0) == pytest.approx([2, 4, 6], rel=0.05)
    assert np.std([r.gyro for r in running], axis=0) == pytest.approx([0.2, 0.4, 0.6], rel=0.05)
    assert np.std([r.pressure for r in running]) == pytest.approx(1.0, rel=0.05)
    assert np.mean([r.accelerometer for r in running], axis=0) == pytest.approx([0, 0, -9.81], abs=0.3)
    still = [found.read(at_rest(), False) for _ in range(2000)]
    assert np.std([r.accelerometer for r in still], axis=0) == pytest.approx([0.04, 0.08, 0.12], rel=0.1)


def test_a_hard_landing_stays_within_the_range_of_the_sensor():
    motion = BodyMotion(STILL, LEVEL_NORTH, STILL, (0.0, 0.0, 900.0), (100.0, 0.0, 0.0))
    reading = exact().read(motion, False)
    assert reading.accelerometer[2] == pytest.approx(-16 * 9.80665)
    assert reading.gyro[0] == pytest.approx(math.radians(2000))
