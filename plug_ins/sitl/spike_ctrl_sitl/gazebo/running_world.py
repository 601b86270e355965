"""A running Gazebo (Harmonic): true poses and reset, by the Python bindings of gz-transport.

Gazebo's world frame is ENU, as ours. A pose has the time of the simulation, which in lockstep is the vehicle's.
"""

import importlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.errors import UsageError

HELP = "install Gazebo Harmonic with python3-gz-transport13 and python3-gz-msgs10, for the Python that runs this"


class Pose(NamedTuple):
    """time s; position m, ENU; quaternion x y z w, body FLU to world."""

    time: float
    position: np.ndarray
    quaternion: np.ndarray


class WorldMotion(NamedTuple):
    """A pose, with velocity (m/s, ENU) and body rates (rad/s, FLU) over the last step."""

    pose: Pose
    velocity: np.ndarray
    rates: np.ndarray


def motion(before: Pose, now: Pose) -> WorldMotion:
    """Velocity and body rates from two successive poses, because Gazebo gives poses only. `now` must be later."""
    step = now.time - before.time
    # The turn from before to now, in the body's frame: conjugate(before) * now, as x y z w.
    (a, b, c, w), (x, y, z, v) = -before.quaternion * [1, 1, 1, -1], now.quaternion
    turn = np.array([w * x + a * v + b * z - c * y, w * y - a * z + b * v + c * x, w * z + a * y - b * x + c * v])
    scalar = w * v - a * x - b * y - c * z
    size = np.linalg.norm(turn)
    angle = 2 * np.arctan2(size, abs(scalar))
    axis = np.sign(scalar or 1.0) * turn / size if size > 0 else turn
    return WorldMotion(now, (now.position - before.position) / step, angle * axis / step)


class World:
    """A world in which a model flies. Raises UsageError where the bindings are missing, or Gazebo does not answer."""

    def __init__(self, name: str):
        try:
            load = importlib.import_module
            self._node = load("gz.transport13").Node()
            self._poses = load("gz.msgs10.pose_v_pb2").Pose_V
            self._placed = load("gz.msgs10.pose_pb2").Pose
            self._boolean = load("gz.msgs10.boolean_pb2").Boolean
        except ImportError as error:
            raise UsageError(f"Gazebo's Python bindings: found none ({error}); {HELP}") from None
        self.name = name

    def follow(self, model: str, see: Callable[[Pose], None]) -> None:
        """Call `see` with each new pose of the model, in a thread of the bindings."""

        def heard(message) -> None:
            for pose in message.pose:
                if pose.name == model:
                    stamp, p, q = message.header.stamp, pose.position, pose.orientation
                    time = stamp.sec + 1e-9 * stamp.nsec
                    see(Pose(time, np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w])))

        topic = f"/world/{self.name}/dynamic_pose/info"
        if not self._node.subscribe(self._poses, topic, heard):
            raise UsageError(f"{topic}: cannot be listened to")

    def put_back(self, model: str, seconds: float = 5.0) -> None:
        """Set the model on the ground in the middle of the world, level and facing east. Its time goes on.

        A reset of the whole world would take the vehicle away, because PX4 put it in, and set the clock back.
        """
        service, wanted = f"/world/{self.name}/set_pose", self._placed()
        wanted.name = model
        wanted.orientation.w = 1.0
        answered, answer = self._node.request(service, wanted, self._placed, self._boolean, int(1000 * seconds))
        if not (answered and answer.data):
            said = f"refused for model {model}" if answered else f"no answer within {seconds:g} s"
            raise UsageError(f"{service}: {said}; is the world running? its models: gz model --list")
