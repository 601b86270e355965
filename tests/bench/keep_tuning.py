"""Asks a flight's adapter to tune, again as soon as it has, until it is ended."""

import rclpy
from std_srvs.srv import Trigger

PAUSE = 0.2  # s between two requests


def main() -> None:
    rclpy.init()
    node = rclpy.create_node("keep_tuning")
    client, future = node.create_client(Trigger, "adapt"), None

    def ask() -> None:
        nonlocal future
        if client.service_is_ready() and (future is None or future.done()):
            future = client.call_async(Trigger.Request())

    node.create_timer(PAUSE, ask)
    rclpy.spin(node)


if __name__ == "__main__":
    main()
