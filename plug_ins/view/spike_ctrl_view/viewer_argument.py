"""The launch argument `viewer`: a node that shows the graph in the browser."""

import importlib.util

from launch.actions import DeclareLaunchArgument
from launch_ros.actions import Node


def declarations():
    """The argument."""
    return [
        DeclareLaunchArgument(
            "viewer",
            default_value="none",
            choices=["none", "web", "rerun"],
            description="web: also show the graph in 3-D in this machine's browser; rerun: its earlier name.",
        )
    ]


def last(context):
    """The viewer starts last, because no node waits for it. Raises ValueError where its package is missing."""
    if context.launch_configurations["viewer"] == "none":
        return []
    if importlib.util.find_spec("viser") is None:
        raise ValueError("viewer:=web: the package viser is missing: pip install viser")
    return [Node(package="spike_ctrl_view", executable="viewer", name="viewer", output="screen")]
