"""`trajectory:=course:NAME:SPEED:ROUNDS`: the way through a course as a trajectory of a flight.

The course is moved so that its start lies at the trajectory's centre; its heights stay. A policy that follows set-points
flies it, with all checks of a flight. It is no race: the speed is one that the supervisor grants.
"""

import math

from spike_ctrl._files.errors import UsageError
from spike_ctrl.control.trajectory import Trajectory, Vector
from spike_ctrl_racing import course_path, track
from spike_ctrl_racing.course_flight import KIND
from spike_ctrl_racing.course_path import CoursePath

SPEED, ROUNDS = 2.0, 1
FASTEST, MOST = 10.0, 100


class CourseShape:
    """A way as the shape of a trajectory."""

    def __init__(self, path: CoursePath):
        self.path, self.__name__ = path, f"course {path.track.name}"

    def __call__(self, trajectory: Trajectory, time: float) -> tuple[Vector, Vector]:
        """Offset from the centre (m) and velocity (m/s)."""
        (x, y, z), velocity = self.path.at(time)
        east, north, _ = self.path.start
        return (x - east, y - north, z - trajectory.centre[2]), velocity


def read(words: str) -> CoursePath:
    """The way of NAME[:SPEED[:ROUNDS]]; NAME of a course or its file. Raises UsageError."""
    name, *numbers = words.split(":")
    try:
        speed = float(numbers[0]) if numbers else SPEED
        rounds = int(numbers[1]) if len(numbers) > 1 else ROUNDS
    except ValueError:
        speed, rounds = math.nan, 0
    if not name or len(numbers) > 2 or not (0.1 <= speed <= FASTEST and 1 <= rounds <= MOST):
        wanted = f"course:NAME, course:NAME:SPEED (.1 to {FASTEST:g} m/s) or course:NAME:SPEED:ROUNDS (1 to {MOST})"
        raise UsageError(f"trajectory: found '{KIND}:{words}', wanted {wanted}")
    return course_path.through(track.load(name), speed, rounds)


def course(words: str, centre: Vector, yaw: float) -> Trajectory:
    """The trajectory of NAME[:SPEED[:ROUNDS]] with its start at a centre (m). Raises UsageError."""
    path = read(words)
    return Trajectory(CourseShape(path), centre, yaw, period=max(path.time / 2, 0.1), lead=0.0)
