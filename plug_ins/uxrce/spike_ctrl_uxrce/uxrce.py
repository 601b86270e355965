"""PX4 over uXRCE-DDS: the fields of the px4_msgs that carry an action, and whether px4_msgs and PX4 fit. Pure; no ROS.

State, mode and arming stay on MAVLink. On uXRCE-DDS the proof of life is OffboardControlMode, not the set-point. It leaves
with each admitted command, never alone. Frames here are PX4's (FRD).
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from spike_ctrl.airframe import Airframe
from spike_ctrl.px4 import frames, link
from spike_ctrl.px4.dialect import MOTOR_ORDER
from spike_ctrl.px4.parameter_rules import Unmet

# Branch of px4_msgs for each version of PX4. 1.14 has no direct actuators, 1.13 and older no uXRCE-DDS.
BRANCHES = {version: f"release/{version}" for version in ("1.15", "1.16", "1.17")}
NAMESPACE = "fmu/in/"  # below the namespace of the node, which is that of PX4's uxrce_dds_client
OUTPUTS = 12  # of ActuatorMotors
NOW = 0  # a stamp of 0 stands for PX4's time of receipt; a stamp of a clock that is set back would be too old for OFFBOARD
# Messages by topic, and their fields in order with ROS's names of the types. All have version 0 of PX4's message
# versions, which adds nothing to the topic's name.
PROOF, SET_POINTS = "offboard_control_mode", {"rates": "vehicle_rates_setpoint", "motors": "actuator_motors"}
_SET_POINT_MESSAGES = {"vehicle_rates_setpoint": "VehicleRatesSetpoint", "actuator_motors": "ActuatorMotors"}
MESSAGES = {PROOF: "OffboardControlMode", **_SET_POINT_MESSAGES}
_FLAGS = ("position", "velocity", "acceleration", "attitude", "body_rate", "thrust_and_torque", "direct_actuator")
FIELDS: Mapping[str, Mapping[str, str]] = {
    "OffboardControlMode": {"timestamp": "uint64", **dict.fromkeys(_FLAGS, "boolean")},
    "VehicleRatesSetpoint": {
        "timestamp": "uint64", "roll": "float", "pitch": "float", "yaw": "float", "thrust_body": "float[3]",
        "reset_integral": "boolean",
    },
    "ActuatorMotors": {
        "timestamp": "uint64", "timestamp_sample": "uint64", "reversible_flags": "uint16", "control": f"float[{OUTPUTS}]",
    },
}  # fmt: skip


def proof(layout: str) -> dict[str, Any]:
    """Fields of OffboardControlMode, which name the kind of set-point that follows."""
    kind = {"rates": "body_rate", "motors": "direct_actuator"}[layout]
    return {"timestamp": NOW} | {name: name == kind for name in _FLAGS}


def set_point(layout: str, action: Sequence[float], airframe: Airframe) -> dict[str, Any]:
    """Fields of the set-point for an action of the layout. Raises ValueError and UsageError."""
    if layout == "motors":
        control = motors(action, airframe)
        return {"timestamp": NOW, "timestamp_sample": NOW, "reversible_flags": 0, "control": control}
    thrust, rates = link.thrust_and_rates(action, airframe)
    roll, pitch, yaw = frames.frd_from_flu(rates)
    return {
        "timestamp": NOW, "roll": roll, "pitch": pitch, "yaw": yaw, "thrust_body": [0.0, 0.0, -thrust],
        "reset_integral": False,
    }  # fmt: skip


def motors(action: Sequence[float], airframe: Airframe) -> list[float]:
    """Normalised thrust of PX4's motors 1 to 12, NaN for absent ones. Raises ValueError and UsageError.

    PX4 turns the thrust into a motor speed by THR_MDL_FAC; the preflight checks that this fits the airframe.
    """
    thrusts = [airframe.thrust(speed) / airframe.thrust(1.0) for speed in link.motor_speeds(action, airframe)]
    return [thrusts[motor] for motor in MOTOR_ORDER] + [math.nan] * (OUTPUTS - len(thrusts))


def unfit(
    px4: str, found: Mapping[str, Mapping[str, str]] | None, needed: Mapping[str, Mapping[str, str]] = FIELDS
) -> str | None:
    """Why the installed px4_msgs cannot be used with PX4 `px4`, and what to install; None where it can.

    found: fields and types of each installed message, in order, because PX4 reads the bytes in this order; None: px4_msgs is
    not installed. needed: the same of the messages that the link uses.
    """
    if px4 not in BRANCHES:
        return f"px4: found '{px4}', wanted one of {', '.join(BRANCHES)}: PX4's version up to the second number"
    fix = (
        f"for PX4 {px4}: git clone -b {BRANCHES[px4]} https://github.com/PX4/px4_msgs into the workspace's src, "
        "colcon build --packages-select px4_msgs, source install/setup.bash"
    )
    if found is None:
        return f"link uxrce: px4_msgs is not installed; {fix}"
    for message, fields in needed.items():
        if message not in found:
            return f"link uxrce: px4_msgs: {message}: no such message; {fix}"
        for name, kind in fields.items():
            have = found[message].get(name, "no such field")
            if have != kind:
                return f"link uxrce: px4_msgs: {message}.{name}: found {have}, wanted {kind}; {fix}"
        if list(found[message]) != list(fields):
            have, wanted = (", ".join(names) for names in (found[message], fields))
            return f"link uxrce: px4_msgs: {message}: found the fields {have}, wanted {wanted}; {fix}"
    return None


def elsewhere(namespace: str, system: int) -> str | None:
    """Why commands in this namespace would reach another PX4 than that of this MAV_SYS_ID; None where none is known.

    PX4's simulation N has the namespace px4_N, number 0 none, and the MAV_SYS_ID N + 1. Other names are the user's choice.
    """
    numbered = re.fullmatch(r"(?:/.*)?/px4_(\d+)", namespace)
    wanted = 1 if namespace == "/" else 1 + int(numbered[1]) if numbered else system
    if system == wanted:
        return None
    fix = f"namespace:=px4_{system - 1}, as PX4 names its uxrce_dds_client" if system > 1 else "leave namespace out"
    found = f"parameter 'system': found {system} with link uxrce in namespace {namespace}"
    return f"{found}, wanted {wanted}; {fix}, or link mavlink"


def audit(px4: str, version: str | None, subscribers: Mapping[str, int], domain: str = "0") -> list[Unmet]:
    """What bars a flight over uXRCE-DDS. version: PX4's, such as 1.17, None while unknown. subscribers: by topic.

    domain: of ROS.
    """
    unmet = []
    if version is None:
        unmet.append(Unmet("link uxrce: PX4 has not told its version", "check the MAVLink connection"))
    elif version != px4:
        there = BRANCHES.get(version)
        fix = f"check out px4_msgs {there} and start with px4:={version}" if there else "use MAVLink: link:=mavlink"
        unmet.append(Unmet(f"link uxrce: found PX4 {version}, wanted {px4}", fix))
    for topic, count in subscribers.items():
        if count < 1:
            space = topic.partition("/fmu/")[0].strip("/")
            fix = "start MicroXRCEAgent, and PX4's uxrce_dds_client" + (f" with -n {space}" if space else "")
            fix += f", in DDS domain {domain} (UXRCE_DDS_DOM_ID)" if domain != "0" else ""
            unmet.append(Unmet(f"topic {topic}: found no subscriber, wanted PX4", fix))
    return unmet
