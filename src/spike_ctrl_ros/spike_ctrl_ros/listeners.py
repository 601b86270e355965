"""Who listens to a topic: those who act on it, not those who only look on."""

from rclpy.node import Node
from rclpy.publisher import Publisher

ONLOOKERS = ("recorder", "rosbag2_recorder", "dashboard", "viewer")  # names of nodes


def heard(node: Node, publisher: Publisher) -> bool:
    """Whether somebody who acts on it listens to this publisher of the node, and all known listeners are connected."""
    listeners = node.get_subscriptions_info_by_topic(publisher.topic_name)
    connected = len(listeners) <= publisher.get_subscription_count()
    return connected and any(listener.node_name not in ONLOOKERS for listener in listeners)
