"""The motors of a ULog: commands in 0..1 in our order, from actuator_motors or from the pulses of actuator_outputs.

Up to v1.12, and in v1.13 with mixers, no parameter says which output a motor is on: it is the output of its number, and
PWM_MAIN_MIN and PWM_MAIN_MAX, or PWM_MIN and PWM_MAX, are the pulses of all.
"""

from collections.abc import Mapping

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl.px4.dialect import MOTOR_ORDER
from spike_ctrl_identify.px4_topic import Topic

MOTOR = 101  # PWM_MAIN_FUNC of motor 1
CORNERS = {(True, True): 0, (False, True): 1, (False, False): 2, (True, False): 3}
"""Our number of a rotor by (it is in front, it is to the right)."""
PULSES = (("PWM_MAIN_MIN", "PWM_MAIN_MAX"), ("PWM_MIN", "PWM_MAX"))  # v1.12 and v1.13; before
USUAL = (1000.0, 2000.0)  # us: PX4's defaults, where a log has none of them


def commands(topic: Topic, parameters: Mapping[str, float]) -> np.ndarray:
    """Commands (K, 4) of actuator_motors or actuator_outputs. Raises UsageError that names topic and parameter."""
    if topic.name == "actuator_motors":
        controls = topic.vector("control", 12)
        count = int(np.isfinite(controls).any(0).sum())
        if count not in (0, 4):
            raise UsageError(f"{topic.source}: found {count} motors, wanted 4")
        return controls[:, _order(topic, parameters)]
    mixed = not any(parameters.get(f"PWM_MAIN_FUNC{n}") for n in range(1, 17))
    columns = [(_mixed if mixed else _named)(topic, parameters, motor) for motor in _order(topic, parameters)]
    return np.maximum(np.column_stack(columns), 0.0)  # below the lowest pulse: disarmed


def _order(topic: Topic, parameters: Mapping[str, float]) -> list[int]:
    """PX4's number of the motor at each of our rotors, by the parameters CA_ROTOR*, else as of a quadrotor X."""
    places = [(parameters.get(f"CA_ROTOR{m}_PX"), parameters.get(f"CA_ROTOR{m}_PY")) for m in range(4)]
    if any(x is None or y is None for x, y in places):
        return [MOTOR_ORDER.index(ours) for ours in range(4)]
    corners = [CORNERS[(x > 0, y > 0)] for x, y in places if x and y]
    if sorted(corners) != [0, 1, 2, 3]:
        raise UsageError(f"{topic.path}: CA_ROTOR*_PX, _PY: found motors at {places}, wanted one in each corner")
    return [corners.index(ours) for ours in range(4)]


def _named(topic: Topic, parameters: Mapping[str, float], motor: int) -> np.ndarray:
    """From the channel whose PWM_MAIN_FUNC is the motor, between its PWM_MAIN_MIN and PWM_MAIN_MAX."""
    function = MOTOR + motor
    channel = next((n for n in range(1, 17) if parameters.get(f"PWM_MAIN_FUNC{n}") == function), None)
    if channel is None:
        wanted = f"wanted a PWM_MAIN_FUNC of {function} for motor {motor + 1}, or actuator_motors"
        raise UsageError(f"{topic.source}: found no channel of motor {motor + 1}, {wanted}")
    low, high = (parameters.get(f"PWM_MAIN_{end}{channel}") for end in ("MIN", "MAX"))
    if low is None or high is None or not low < high:
        found = f"found PWM_MAIN_MIN{channel} {low} and PWM_MAIN_MAX{channel} {high}"
        raise UsageError(f"{topic.source}: {found}, wanted both, or actuator_motors")
    return (topic.column(f"output[{channel - 1}]") - low) / (high - low)


def _mixed(topic: Topic, parameters: Mapping[str, float], motor: int) -> np.ndarray:
    """From the output of the motor's number. A simulator's outputs are in 0..1 already."""
    output = topic.column(f"output[{motor}]")
    if np.abs(output).max(initial=0.0) <= 1:
        return output
    both = ((parameters.get(low), parameters.get(high)) for low, high in PULSES)
    low, high = next(((a, b) for a, b in both if a is not None and b is not None and a < b), USUAL)
    return (output - low) / (high - low)
