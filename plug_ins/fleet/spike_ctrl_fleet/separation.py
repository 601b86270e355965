"""The flight condition `separation`: the cage of this flight overlaps with that of no other in the ROS domain."""

from functools import partial
from typing import Any

from geometry_msgs.msg import Point32, PolygonStamped
from rclpy.subscription import Subscription

from spike_ctrl.control.trajectory import Vector
from spike_ctrl.flight.geofence import Cage
from spike_ctrl_ros import qos

Box = tuple[Vector, Vector]  # lower and upper corner, m


class Separation:
    """Publishes where the cage of a supervisor lies in `map` (m, ENU), as `cage`, and hears those of other supervisors.

    supervisor: the node. Where `odom` begins in `map` is in its parameters east and north.
    """

    def __init__(self, supervisor: Any):
        self.node = supervisor
        self._told: Box | None = None
        self._heard: dict[str, Subscription] = {}
        self._others: dict[str, Box] = {}
        self._said: set[str] = set()  # namespaces of the cages that overlap
        self._cage_out = supervisor.create_publisher(PolygonStamped, "cage", qos.CHECKPOINTS)

    def unmet(self) -> list[str]:
        """The cages that overlap with this one, in words."""
        node = self.node
        own = in_map(node.settings.cage.laid(node.state.home), node.parameters.east, node.parameters.north)
        if own != self._told:  # home has moved
            self._told = own
            self._cage_out.publish(message_of(own))
        self._listen({space for name, space in node.get_node_names_and_namespaces() if name == node.get_name()})
        found = {space: words for space, other in sorted(self._others.items()) if (words := overlap(space, own, other))}
        for space in found.keys() - self._said:  # once in the log: in the air nothing is asked that it could bar
            node.get_logger().warning(found[space])
        self._said = set(found)
        return list(found.values())

    def _listen(self, spaces: set[str]) -> None:
        """To the supervisors in these namespaces, and to no other."""
        spaces = spaces - {self.node.get_namespace()}
        for space in spaces - self._heard.keys():
            root, heard = space.rstrip("/"), partial(self._hear, space)
            self._heard[space] = self.node.create_subscription(PolygonStamped, f"{root}/cage", heard, qos.CHECKPOINTS)
        for space in self._heard.keys() - spaces:
            self.node.destroy_subscription(self._heard.pop(space))
            self._others.pop(space, None)

    def _hear(self, space: str, message: PolygonStamped) -> None:
        if len(message.polygon.points) == 2:
            low, high = ((point.x, point.y, point.z) for point in message.polygon.points)
            self._others[space] = low, high


def in_map(cage: Cage, east: float, north: float) -> Box:
    """Corners in `map` of a cage that lies in `odom`, which begins there (m)."""
    low, high = ((x + east, y + north, z) for x, y, z in (cage.low, cage.high))
    return low, high


def gap(one: Box, other: Box) -> float:
    """Distance (m) of two boxes along the axis on which they are farthest apart; negative: they overlap by that."""
    (low, high), (least, most) = one, other
    return max(max(a - d, c - b) for a, b, c, d in zip(low, high, least, most, strict=True))


def overlap(space: str, own: Box, other: Box) -> str:
    """That this cage overlaps with that of the flight in a namespace, in words; "" where it does not."""
    if (inside := -gap(own, other)) <= 0:
        return ""
    return (
        f"cage of the flight in {space}: found it {inside:.2f} m inside this one, wanted apart; "
        "give another cage:=, or give with east:= and north:= where odom of this flight lies in map"
    )


def message_of(box: Box) -> PolygonStamped:
    """The two corners."""
    message = PolygonStamped()
    message.header.frame_id = "map"
    message.polygon.points = [Point32(x=x, y=y, z=z) for x, y, z in box]
    return message
