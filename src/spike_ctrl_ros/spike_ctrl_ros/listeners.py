"""Whether a node that acts on a topic listens to it. Recorders and viewers do not count."""

from rclpy.node import Node
from rclpy.publisher import Publisher

ONLOOKERS = ("recorder", "rosbag2_recorder", "dashboard", "viewer")  # names of nodes


def heard(node: Node, publisher: Publisher) -> bool:
    """Whether a node that acts on the topic listens to this publisher, and all known listeners are connected."""
    listeners = node.get_subscriptions_info_by_topic(publisher.topic_name)
    connected = len(listeners) <= publisher.get_subscription_count()
    return connected and any(listener.node_name not in ONLOOKERS for listener in listeners)
