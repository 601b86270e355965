"""The environment in which PX4's own simulation starts as an airframe: geometry, motor curve, gains, speed of its time."""

from spike_ctrl.airframe import Airframe
from spike_ctrl.px4.dialect import MOTOR_ORDER
from spike_ctrl.px4.parameter_rules import airmode, thrust_model

# Gazebo's satellites are seen at once; PX4 takes them for 110 ms old, and is off by that time's way, .1 m at 1 m/s.
GAZEBO = {"EKF2_GPS_DELAY": 0.0}
GYRO_RATES = (100, 250, 400, 800, 1000, 2000)  # Hz, allowed values of IMU_GYRO_RATEMAX


def rotors(airframe: Airframe) -> dict[str, float]:
    """CA_ROTOR*: motors in PX4's order, positions in m (FRD).

    KM is positive for a rotor that turns counter-clockwise; its torque turns the body to the right.
    """
    found: dict[str, float] = {"CA_ROTOR_COUNT": 4}
    for motor, ours in enumerate(MOTOR_ORDER):
        found[f"CA_ROTOR{motor}_PX"] = airframe.rotor_x[ours]
        found[f"CA_ROTOR{motor}_PY"] = -airframe.rotor_y[ours]
        found[f"CA_ROTOR{motor}_KM"] = -airframe.rotor_spin[ours] * airframe.torque_per_thrust
    return found


def parameters(airframe: Airframe, rate: float) -> dict[str, float]:
    """PX4's parameters by name. rate: Hz, of the sensor samples."""
    found: dict[str, float] = {"CA_AIRFRAME": 0, **rotors(airframe)}
    found |= {f"PWM_MAIN_FUNC{motor + 1}": 101 + motor for motor in range(4)}
    found |= thrust_model(airframe)
    found["MC_AIRMODE"] = airmode(airframe)
    if (loop := airframe.rate_loop) is not None:
        for index, axis in enumerate(("ROLL", "PITCH", "YAW")):
            found[f"MC_{axis}RATE_P"] = loop.proportional[index]
            found[f"MC_{axis}RATE_I"] = loop.integral[index]
            found[f"MC_{axis}RATE_D"] = loop.derivative[index]
        found["IMU_GYRO_CUTOFF"], found["IMU_DGYRO_CUTOFF"] = loop.gyro_cutoff, loop.derivative_cutoff
    found["IMU_GYRO_RATEMAX"] = next(allowed for allowed in GYRO_RATES if allowed >= rate)
    found["EKF2_DECL_TYPE"] = 0  # our magnetic field has no declination; PX4 would use that of its world model
    return found


def environment(airframe: Airframe, rate: float, speed: float) -> str:
    """The same as export lines for the shell that starts PX4."""
    lines = [f"export PX4_PARAM_{name}={value:g}" for name, value in parameters(airframe, rate).items()]
    lines += [f"export {name}={value}" for name, value in speed_factor(speed or 1).items()]
    return "\n".join(lines)


def speed_factor(speed: float) -> dict[str, str]:
    """Variables with which PX4's time runs `speed` times as fast as the clock; none for 1.

    Where PX4's start-up script finds a factor, it overwrites time-outs that the user has set, COM_OF_LOSS_T among them.
    """
    return {} if speed == 1 else {"PX4_SIM_SPEED_FACTOR": f"{speed:g}"}
