"""What a flight along a course needs, where its launch does not say it: height, time and cage.

`spike-ctrl launch flight vehicle:=embedded auto:=true trajectory:=course:split_s`
"""

from typing import Any

KIND = "course"
ROOM = 12.0  # m around the way: from 4 m/s an autopilot brakes within 8 m, and a set-point is granted .72 of that speed
AFTER = 2.0  # s at the end of the way
FLOOR = -0.5  # m, as of the default cage: below the ground, where the vehicle stands


def prepare(context: Any) -> None:
    """Take off to the height of the course's start, fly to its end, in a cage with room to brake."""
    values = context.launch_configurations
    kind, _, words = values.get("trajectory", "").partition(":")
    if kind != KIND:
        return
    from spike_ctrl_racing import course_trajectory  # slow: not before other flights

    path = course_trajectory.read(words)
    low, high = (path.position - path.position[0]).min(0), (path.position - path.position[0]).max(0)
    top = float(path.position[:, 2].max())
    corners = [*(low[:2] - ROOM), FLOOR, *(high[:2] + ROOM), top + ROOM]
    values.setdefault("height", f"{path.start[2]:.2f}")
    values.setdefault("duration", f"{path.time + AFTER:.1f}")
    values.setdefault("cage", ",".join(f"{corner:.2f}" for corner in corners))
