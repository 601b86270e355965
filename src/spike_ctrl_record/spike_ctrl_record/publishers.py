"""The publishers of a topic: its message type, and the QoS that all of them offer."""

import importlib

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime


def message_class(kind: str) -> type:
    """The message class of "package/msg/Name". Raises ImportError or AttributeError where it is not installed."""
    package, _, name = kind.split("/")
    found: type = getattr(importlib.import_module(f"{package}.msg"), name)
    return found


def type_name(kind: type) -> str:
    """The name "package/msg/Name" of a message class."""
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"


def offered(profiles: list[QoSProfile]) -> tuple[ReliabilityPolicy, DurabilityPolicy]:
    """The strictest reliability and durability that all these publishers offer."""
    reliable = all(profile.reliability == ReliabilityPolicy.RELIABLE for profile in profiles)
    kept = all(profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for profile in profiles)
    return (
        ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        DurabilityPolicy.TRANSIENT_LOCAL if kept else DurabilityPolicy.VOLATILE,
    )


def profile(found: QoSProfile) -> Qos:
    """A publisher's QoS profile in the types of rosbags. Both number the policies as ROS does."""
    duration, lifespan, lease = (
        QosTime(*divmod(d.nanoseconds, 1_000_000_000))
        for d in (found.deadline, found.lifespan, found.liveliness_lease_duration)
    )
    return Qos(
        QosHistory(int(found.history)),
        found.depth,
        QosReliability(int(found.reliability)),
        QosDurability(int(found.durability)),
        duration,
        lifespan,
        QosLiveliness(int(found.liveliness)),
        lease,
        found.avoid_ros_namespace_conventions,
    )
