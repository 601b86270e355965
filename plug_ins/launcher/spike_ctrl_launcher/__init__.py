"""Runs launch files where ROS 2's own `launch` is missing; page: docs/ros2_command.md."""
