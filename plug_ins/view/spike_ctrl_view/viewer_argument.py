"""The launch argument `viewer`: a node that shows the graph in the browser."""

import importlib.util
import socket
from dataclasses import dataclass

from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from spike_ctrl._files.ranges import setting
from spike_ctrl.launching import declared_arguments

FIRST_PORT = 9090


@dataclass(frozen=True)
class ViewerArgument:
    viewer: str = setting(
        "none",
        "web: also show the graph in 3-D in this machine's browser; rerun: an earlier name of web.",
        choices=("none", "web", "rerun"),
    )


def declarations():
    """The argument."""
    return declared_arguments.declarations(declared_arguments.of_launch(ViewerArgument))


def last(context):
    """The viewer starts last, because no node waits for it. Raises ValueError where its package is missing."""
    if context.launch_configurations["viewer"] == "none":
        return []
    if importlib.util.find_spec("viser") is None:
        raise ValueError("viewer:=web: the package viser is missing: pip install viser")
    own = {"namespace": LaunchConfiguration("namespace", default=""), "parameters": [{"port": free_port()}]}
    return [Node(package="spike_ctrl_view", executable="viewer", name="viewer", output="screen", **own)]


def free_port():
    """The first TCP port from 9090 on that is free: each of several graphs has its own page."""
    for port in range(FIRST_PORT, FIRST_PORT + 100):
        with socket.socket() as page:
            page.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                page.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    return FIRST_PORT
