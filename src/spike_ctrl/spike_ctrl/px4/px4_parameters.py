"""PX4's parameters for an airframe: geometry, motor curve and gains."""

from __future__ import annotations

import numpy as np

from spike_ctrl.airframe import Airframe
from spike_ctrl.px4.dialect import MOTOR_ORDER

# Noise of the sensors in PX4's own simulation. With EKF2's defaults its position estimate wanders by half a metre.
SIH_NOISE = {"EKF2_ACC_NOISE": 1.0, "EKF2_GYR_NOISE": 0.1}
DEFAULT_HOVER, HOVER_WITHIN = 0.5, 0.1  # MPC_THR_HOVER of PX4's default, and by how much it may be off
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


def hover_thrust(airframe: Airframe) -> float:
    """The share of the full thrust, as PX4 commands it, that carries the weight. See `thrust_model`."""
    return airframe.hover if airframe.action_layout == "rates" else 1 / airframe.thrust_to_weight


def thrust_model(airframe: Airframe) -> dict[str, float]:
    """MPC_THR_HOVER and THR_MDL_FAC.

    THR_MDL_FAC is the share f of the square in PX4's model of a motor's thrust, f u^2 + (1 - f) u. PX4 puts the inverse of
    the model between mixer and motors. Layout `rates`: our rate loop has no such inverse, so f is 0. Layout `motors`: PX4
    receives thrusts, and f is the best fit to the airframe's thrust curve (least squares).
    """
    hover = hover_thrust(airframe)
    if airframe.action_layout == "rates":
        return {"MPC_THR_HOVER": _rounded(hover), "THR_MDL_FAC": 0.0}
    u = np.linspace(0, 1, 101)
    curve = np.array([airframe.thrust(float(value)) for value in u])
    bend, found = u - u * u, u - curve / airframe.thrust(1.0)
    share = float(np.clip(bend @ found / (bend @ bend), 0, 1))
    return {"MPC_THR_HOVER": _rounded(min(max(hover, 0.1), 0.8)), "THR_MDL_FAC": _rounded(share)}


def thrust_changes(airframe: Airframe) -> dict[str, float]:
    """`thrust_model` of an airframe that is commanded by its motors; none for others, which fly with PX4's defaults."""
    return thrust_model(airframe) if airframe.action_layout == "motors" else {}


def hover_changes(airframe: Airframe) -> dict[str, float]:
    """MPC_THR_HOVER of an airframe that is commanded by rates, where PX4's default is too far off; none where it is not."""
    if airframe.action_layout != "rates" or abs(airframe.hover - DEFAULT_HOVER) <= HOVER_WITHIN:
        return {}
    return {"MPC_THR_HOVER": _rounded(airframe.hover)}


def airmode(airframe: Airframe) -> int:
    """MC_AIRMODE: whether PX4's mixer adds thrust for torques in roll and pitch."""
    return int(airframe.rate_loop is not None and airframe.rate_loop.airmode == "roll_pitch")


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


def _rounded(value: float) -> float:
    return round(value, 4)
