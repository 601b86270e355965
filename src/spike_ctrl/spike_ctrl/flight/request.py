"""What an operator may ask for. It imports nothing: `spike-ctrl ask` must answer at once."""

from __future__ import annotations

from enum import Enum


class Request(Enum):
    """What an operator may ask for."""

    TAKE_OFF = "take off"  # arm and climb by the guide, the policy in shadow
    GUIDE = "guide"  # the guide flies, in the air
    ENGAGE = "engage"  # the policy flies, in the air, as soon as it agrees with the guide
    DISENGAGE = "disengage"  # hand back to the autopilot, which holds
    LAND = "land"
    SHUT_DOWN = "shut down"
