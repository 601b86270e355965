"""Which of the autopilot's parameters bar a training on it: a fence within its room, and what changes commands. Pure."""

import math
from collections.abc import Mapping

from spike_ctrl.airframe import Airframe
from spike_ctrl.px4.parameter_rules import FORWARDED, Unmet, thrust_rules, unmet_rules

COMMANDS = ("MAV_FWDEXTSP", "MC_AIRMODE", "THR_MDL_FAC")  # with other values a command means something else, or nothing
FENCE = ("GF_MAX_HOR_DIST", "GF_MAX_VER_DIST")
TRAINING = (*FENCE, *COMMANDS)  # what a training on an autopilot reads; its other failsafes are the user's own


def audit_room(found: Mapping[str, float], height: float, room: float) -> list[Unmet]:
    """Whether PX4's fence lies around a room for training: its centre at `height` (m) above home, `room` (m) to its walls.

    found: values of FENCE by name; 0 is no fence. `preflight --set` for a flight leaves a fence that lies inside.
    """
    top, side = height + room, math.hypot(room, room)
    fix = f"spike-ctrl preflight --set --cage={-room:g},{-room:g},-0.5,{room:g},{room:g},{top:g} writes what the room needs"
    return [
        Unmet(f"{name}: found {found[name]:g}, wanted 0 or more than {needed:.1f} m, the {where} of the room", fix)
        for name, needed, where in zip(FENCE, (side, top), ("far corner", "ceiling"), strict=True)
        if name in found and not (found[name] == 0 or found[name] > needed)
    ]


def audit_training(found: Mapping[str, float], airframe: Airframe, height: float, room: float) -> list[Unmet]:
    """What bars a training of this airframe: the fence, as audit_room says, and commands that mean something else.

    found: values of TRAINING by name.
    """
    rules = [rule for rule in (FORWARDED, *thrust_rules(airframe)) if rule.name in COMMANDS]
    return [*audit_room(found, height, room), *unmet_rules(found, rules)]
