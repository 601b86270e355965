"""Asks a flight's adapter to tune, again as soon as what it offered can have taken over, until it is ended."""

import time

import rclpy
from std_srvs.srv import Trigger

PAUSE, NEXT = 0.2, 3.0  # s between two requests; from one that was granted to the next


def main() -> None:
    rclpy.init()
    node = rclpy.create_node("keep_tuning")
    client, future, due = node.create_client(Trigger, "adapt"), None, 0.0

    def ask() -> None:
        nonlocal future, due
        if future is not None and future.done():
            due = time.monotonic() + NEXT * future.result().success
            future = None
        if client.service_is_ready() and future is None and time.monotonic() > due:
            future = client.call_async(Trigger.Request())

    node.create_timer(PAUSE, ask)
    rclpy.spin(node)


if __name__ == "__main__":
    main()
