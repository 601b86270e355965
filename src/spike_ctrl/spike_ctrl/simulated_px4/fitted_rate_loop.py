"""The body-rate loop with which the simulated autopilot itself flies an airframe that describes none, such as a Crazyflie.

The policy of such an airframe commands its motors. Only the autopilot's own modes, HOLD and LAND among them, need a loop. It
answers an error of the rates with the angular acceleration with which PX4's simulated quadrotor answers it.
"""

import math

from spike_ctrl.airframe import Airframe, RateLoop, rotor_speed

# Of PX4's simulated quadrotor with PX4's default gains: angular acceleration (rad/s^2) per rad/s of error; the integral and
# the derivative as shares of the proportional part, 1/s and s. Roll, pitch, yaw.
PROPORTIONAL, INTEGRAL, DERIVATIVE = (17.0, 17.0, 2.7), (1.33, 1.33, 0.5), (0.02, 0.02, 0.0)
INTEGRAL_LIMIT = (0.3, 0.3, 0.3)  # of the normalised torque
GYRO_CUTOFF, DERIVATIVE_CUTOFF = 40.0, 20.0  # Hz


def of(airframe: Airframe) -> RateLoop:
    """The airframe's own loop, or one that fits its inertia and its rotors at hover."""
    if airframe.rate_loop is not None:
        return airframe.rate_loop
    # Of a normalised torque of 1 about each axis, for small torques at hover: angular acceleration, rad/s^2.
    _, c1, c2 = airframe.thrust_curve
    lift = c1 + 2 * c2 * airframe.hover  # N per command of one rotor
    roll, pitch = (sum(map(abs, arms)) * math.sqrt(0.5) * lift for arms in (airframe.rotor_y, airframe.rotor_x))
    jx, jy, jz = airframe.inertia
    effects = roll / jx, pitch / jy, 4 * airframe.torque_per_thrust * lift / jz
    gains = [a / effect for a, effect in zip(PROPORTIONAL, effects, strict=True)]
    return RateLoop(
        proportional=tuple(gains),
        integral=tuple(gain * share for gain, share in zip(gains, INTEGRAL, strict=True)),
        derivative=tuple(gain * share for gain, share in zip(gains, DERIVATIVE, strict=True)),
        integral_limit=INTEGRAL_LIMIT,
        gyro_cutoff=GYRO_CUTOFF,
        derivative_cutoff=DERIVATIVE_CUTOFF,
        delay=0.0,  # it runs beside the motors; their dead time is the airframe's
    )


def speed_of_thrust(airframe: Airframe, thrust: float) -> float:
    """The command u of each rotor for a thrust of the autopilot, 0..1.

    Layout `rates`: the thrust itself, as PX4 with THR_MDL_FAC 0. Layout `motors`: the speed that gives this share of the
    full thrust, as PX4 does it with the THR_MDL_FAC that the preflight wants.
    """
    if airframe.action_layout == "rates":
        return thrust
    speed = float(rotor_speed(airframe.thrust_curve, thrust * airframe.thrust(1.0)))
    return min(max(speed, 0.0), 1.0)
