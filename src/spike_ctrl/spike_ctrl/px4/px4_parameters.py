"""What PX4 must be told to fly an airframe of ours: geometry, motor curve and gains as its parameters."""

from __future__ import annotations

import numpy as np

from spike_ctrl.airframe import Airframe
from spike_ctrl.px4.dialect import MOTOR_ORDER

# What the sensors of PX4's own simulation have: with EKF2's defaults its estimate wanders by half a metre, whoever flies.
SIH_NOISE = {"EKF2_ACC_NOISE": 1.0, "EKF2_GYR_NOISE": 0.1}
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


def thrust_model(airframe: Airframe) -> dict[str, float]:
    """MPC_THR_HOVER, and THR_MDL_FAC: the share f of the square in PX4's model of a motor's thrust, f u^2 + (1 - f) u, whose
    inverse it puts between its mixer and the motors.

    Layout `rates`: our rate loop has no such inverse, the mixer's output is the motors' command. Layout `motors`: PX4 is
    given thrusts, and f is the one that comes nearest to the airframe's curve (least squares).
    """
    if airframe.action_layout == "rates":
        return {"MPC_THR_HOVER": _rounded(airframe.hover), "THR_MDL_FAC": 0.0}
    u = np.linspace(0, 1, 101)
    bend, found = u - u * u, u - airframe.thrust(u) / airframe.thrust(1.0)
    share = float(np.clip(bend @ found / (bend @ bend), 0, 1))
    return {"MPC_THR_HOVER": _rounded(min(max(1 / airframe.thrust_to_weight, 0.1), 0.8)), "THR_MDL_FAC": _rounded(share)}


def parameters(airframe: Airframe, rate: float) -> dict[str, float]:
    """PX4's parameters by name, for samples at `rate` (Hz)."""
    found: dict[str, float] = {"CA_AIRFRAME": 0, **rotors(airframe)}
    found |= {f"PWM_MAIN_FUNC{motor + 1}": 101 + motor for motor in range(4)}
    found |= thrust_model(airframe)
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
    lines += [f"export {name}={value}" for name, value in speed_factor(speed or 1).items()]
    return "\n".join(lines)


def speed_factor(speed: float) -> dict[str, str]:
    """Variables for that many of PX4's seconds in one of the clock's. None for 1: where PX4's start-up script finds the
    factor, it sets time-outs anew, COM_OF_LOSS_T among them, whatever the user has set."""
    return {} if speed == 1 else {"PX4_SIM_SPEED_FACTOR": f"{speed:g}"}


def _rounded(value: float) -> float:
    return round(value, 4)
