"""What an operator's tool and the supervisor share. It imports little: `spike-ctrl ask` must answer at once."""

import math

from spike_ctrl._files.errors import UsageError
from spike_ctrl.flight.request import Request

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
