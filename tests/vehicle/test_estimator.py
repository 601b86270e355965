"""Errors of the vehicle's sensors and estimate; figures measured on PX4 v1.17's simulated vehicle.

- accelerometer .5/1.7/1.4 m/s^2 and gyro .14/.07/.03 rad/s while the motors turn
- the estimate wanders by .3-.9 m with EKF2's defaults and by .02-.15 m with noise parameters that fit the sensors
"""

import numpy as np
import pytest
from pymavlink.dialects.v20 import development as mavlink

TUNED = {"EKF2_ACC_NOISE": 1.0, "EKF2_GYR_NOISE": 0.1}


def wander(rig, seconds, **options):
    """Estimate minus true position (samples, 3) in m, ENU, of a flight that hovers by position set-points."""
    client = rig(noise=1.0, **options).hover()
    place, errors = client.position_target(0, 0, -1.5), []
    for kind in ("ATTITUDE", "ATTITUDE_QUATERNION", "HIGHRES_IMU", "LOCAL_POSITION_NED"):
        client.ask(client.interval(getattr(mavlink, f"MAVLINK_MSG_ID_{kind}"), 0), place)
    for _ in range(round(5 * seconds)):
        client.forget()
        client.run(0.2, place)
        last = client.last("ODOMETRY")
        errors.append(np.subtract((last.y, last.x, -last.z), client.vehicle.truth.position))
    return np.array(errors)


def test_the_sensors_shake_while_the_motors_turn(rig):
    client = rig(TUNED, noise=1.0).hover()
    place = client.position_target(0, 0, -1.5)
    client.ask(client.interval(mavlink.MAVLINK_MSG_ID_HIGHRES_IMU, 250), place)
    start = client.now
    client.run(6.0, place)
    imu = client.all("HIGHRES_IMU", start)
    acceleration = np.std([(m.xacc, m.yacc, m.zacc) for m in imu], axis=0)
    np.testing.assert_allclose(acceleration, (0.5, 1.7, 1.4), rtol=0.25)
    # The body turns a little too, since the rate loop sees the noise.
    gyro = np.std([(m.xgyro, m.ygyro, m.zgyro) for m in imu], axis=0)
    np.testing.assert_allclose(gyro, (0.14, 0.07, 0.03), rtol=0.35)


def test_the_sensors_are_quiet_on_the_ground(rig):
    client = rig(noise=1.0)
    client.run(4.0)
    gyro = np.std([(m.xgyro, m.ygyro, m.zgyro) for m in client.all("HIGHRES_IMU")], axis=0)
    assert gyro.max() < 0.01


@pytest.mark.parametrize(("parameters", "low", "high"), [({}, 0.3, 0.9), (TUNED, 0.02, 0.15)], ids=["defaults", "tuned"])
def test_the_estimate_wanders_as_px4s_does(rig, parameters, low, high):
    """The root mean square of the distance, over four flights of half a minute."""
    errors = np.concatenate([wander(rig, 20.0, parameters=parameters, seed=seed) for seed in range(4)])
    assert low < np.sqrt((errors**2).sum(axis=1).mean()) < high


def test_position_and_velocity_errors_belong_together(rig):
    """The estimated velocity is the slope of the estimated position."""
    client = rig(noise=1.0).hover()
    client.ask(client.interval(mavlink.MAVLINK_MSG_ID_ODOMETRY, 125), client.position_target(0, 0, -1.5))
    start = client.now
    client.run(5, client.position_target(0, 0, -1.5))
    found = client.all("ODOMETRY", start + 0.1)
    position, velocity = np.array([(m.x, m.y, m.z) for m in found]), np.array([(m.vx, m.vy, m.vz) for m in found])
    steps = np.diff([m.time_usec for m in found])[:, None] * 1e-6
    travelled = (velocity[1:] * steps).sum(axis=0)
    np.testing.assert_allclose(position[-1] - position[0], travelled, atol=0.02)


def test_without_noise_the_estimate_is_the_truth(rig):
    client = rig().hover()
    odometry, truth = client.last("ODOMETRY"), client.vehicle.truth
    np.testing.assert_allclose((odometry.y, odometry.x, -odometry.z), truth.position, atol=0.01)
