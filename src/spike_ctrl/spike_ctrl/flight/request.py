"""What an operator may ask for, and how a tool and the supervisor write it. It imports little: `spike-ctrl ask` must
answer at once.
"""

import math
from enum import Enum

from spike_ctrl._files.errors import UsageError


class Request(Enum):
    """What an operator may ask for."""

    TAKE_OFF = "take off"  # arm and climb by the guide, the policy in shadow
    GUIDE = "guide"  # the guide flies, in the air
    ENGAGE = "engage"  # the policy flies, in the air, as soon as it agrees with the guide
    DISENGAGE = "disengage"  # hand back to the autopilot, which holds
    LAND = "land"
    SHUT_DOWN = "shut down"


SERVICES = {request.name.lower(): request for request in Request if request is not Request.SHUT_DOWN}


def parse_place(text: str) -> tuple[tuple[float, float, float], float]:
    """Position (m, ENU) and yaw (rad) from x,y,z or x,y,z,yaw. Raises UsageError."""
    try:
        found = [float(word) for word in text.split(",")]
    except ValueError:
        found = []
    if len(found) not in (3, 4) or not all(map(math.isfinite, found)):
        raise UsageError(f"parameter 'setpoint': found '{text}', wanted finite x,y,z or x,y,z,yaw")
    x, y, z, *yaw = found
    return (x, y, z), sum(yaw)
