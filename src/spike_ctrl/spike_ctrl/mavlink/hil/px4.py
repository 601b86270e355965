"""What PX4 must be told to fly an airframe of ours: geometry, motor curve and gains as its parameters."""

from __future__ import annotations

from spike_ctrl.airframe import Airframe
from spike_ctrl.mavlink.vehicle.telemetry import MOTOR_ORDER

GYRO_RATES = (100, 250, 400, 800, 1000, 2000)  # Hz, that IMU_GYRO_RATEMAX may be


def rotors(airframe: Airframe) -> dict[str, float]:
    """CA_ROTOR*: motors in PX4's order, m in FRD, KM positive where the rotor turns counter-clockwise, so that its torque
    turns the body to the right."""
    found: dict[str, float] = {"CA_ROTOR_COUNT": 4}
    for motor, ours in enumerate(MOTOR_ORDER):
        found[f"CA_ROTOR{motor}_PX"] = airframe.rotor_x[ours]
        found[f"CA_ROTOR{motor}_PY"] = -airframe.rotor_y[ours]
        found[f"CA_ROTOR{motor}_KM"] = -airframe.rotor_spin[ours] * airframe.torque_per_thrust
    return found


def parameters(airframe: Airframe, rate: float) -> dict[str, float]:
    """PX4's parameters by name, for samples at `rate` (Hz).

    THR_MDL_FAC: share of the square in PX4's model of the thrust, f u^2 + (1 - f) u.
    """
    found: dict[str, float] = {"CA_AIRFRAME": 0, **rotors(airframe)}
    found |= {f"PWM_MAIN_FUNC{motor + 1}": 101 + motor for motor in range(4)}
    found["THR_MDL_FAC"] = _rounded(min(max(airframe.thrust_curve[2] / airframe.thrust(1.0), 0.0), 1.0))
    found["MPC_THR_HOVER"] = _rounded(min(max(1 / airframe.thrust_to_weight, 0.1), 0.8))
    if (loop := airframe.rate_loop) is not None:
        for index, axis in enumerate(("ROLL", "PITCH", "YAW")):
            found[f"MC_{axis}RATE_P"] = loop.proportional[index]
            found[f"MC_{axis}RATE_I"] = loop.integral[index]
            found[f"MC_{axis}RATE_D"] = loop.derivative[index]
        found["IMU_GYRO_CUTOFF"], found["IMU_DGYRO_CUTOFF"] = loop.gyro_cutoff, loop.derivative_cutoff
    found["IMU_GYRO_RATEMAX"] = next(allowed for allowed in GYRO_RATES if allowed >= rate)
    found["EKF2_DECL_TYPE"] = 0  # our dipole has no declination; PX4 would take that of its world model
    return found


def environment(airframe: Airframe, rate: float, speed: float) -> str:
    """The same as lines for a shell from which PX4 is then started."""
    lines = [f"export PX4_PARAM_{name}={value:g}" for name, value in parameters(airframe, rate).items()]
    return "\n".join([*lines, f"export PX4_SIM_SPEED_FACTOR={speed or 1:g}"])


def _rounded(value: float) -> float:
    return round(value, 4)
