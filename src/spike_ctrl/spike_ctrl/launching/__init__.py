"""Runs standard ROS 2 launch files: with ROS 2's own `launch` if it is installed, else by the plug-in `launcher`."""

import importlib
from typing import Any

from spike_ctrl.launching.installed import become

__all__ = ["arguments", "become", "run"]


def __getattr__(name: str) -> Any:
    """`arguments` or `run`, imported now: who becomes a node, as `spike-ctrl ask`, does not wait for it."""
    if name in ("arguments", "run"):
        return getattr(importlib.import_module("spike_ctrl.launching.launch_file"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
