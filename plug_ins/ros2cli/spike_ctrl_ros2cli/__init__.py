"""The command ros2 where ROS 2's own command line is missing: launch, node, topic, param, service, lifecycle, bag info."""
