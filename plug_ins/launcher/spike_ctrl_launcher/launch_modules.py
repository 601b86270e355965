"""Modules named `launch` and `launch_ros`, so that a launch file can import them where ROS 2's launch is missing.

They hold the classes of actions.py, substitutions.py and node_parameters.py.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import NoReturn

from spike_ctrl._files.errors import UsageError
from spike_ctrl.launching.launch_file import UNSUPPORTED
from spike_ctrl_launcher import actions, node_parameters, substitutions

OURS = (actions, substitutions, node_parameters)
MODULES = {  # module: names in it
    "launch": "LaunchDescription Substitution",
    "launch.actions": "DeclareLaunchArgument EmitEvent ExecuteProcess LogInfo OpaqueFunction RegisterEventHandler "
    "SetEnvironmentVariable Shutdown",
    "launch.conditions": "IfCondition UnlessCondition",
    "launch.event_handlers": "OnProcessExit",
    "launch.events": "Shutdown",
    "launch.launch_description": "LaunchDescription",
    "launch.substitutions": "EnvironmentVariable LaunchConfiguration PathJoinSubstitution PythonExpression "
    "TextSubstitution ThisLaunchFileDir",
    "launch_ros": "",
    "launch_ros.actions": "LifecycleNode Node",
    "launch_ros.parameter_descriptions": "ParameterValue",
    "launch_ros.substitutions": "FindPackageShare",
}


@contextmanager
def installed() -> Iterator[None]:
    """Inside this block our modules can be imported; afterwards `sys.modules` is as it was before."""
    modules = {name: _Module(name, names.split()) for name, names in MODULES.items()}
    for name, module in modules.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, module)
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in ("launch", "launch_ros")}
    for name in before:
        del sys.modules[name]
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            sys.modules.pop(name, None)
        sys.modules.update(before)


class _Module(ModuleType):
    """A module that holds these classes and refuses every other name."""

    def __init__(self, name: str, names: list[str]):
        super().__init__(name)
        self.__path__ = []
        for each in names:
            setattr(self, each, next(getattr(module, each) for module in OURS if hasattr(module, each)))

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise UsageError(f"{self.__name__}.{name} {UNSUPPORTED}")
