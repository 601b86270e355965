"""Modules named `launch` and `launch_ros` that hold the words of description.py, for launch files to import."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from spike_ctrl.launching import description

MODULES = {
    "launch": ["LaunchDescription", "Substitution"],
    "launch.actions": [
        "DeclareLaunchArgument",
        "EmitEvent",
        "LogInfo",
        "OpaqueFunction",
        "RegisterEventHandler",
        "SetEnvironmentVariable",
        "Shutdown",
    ],
    "launch.conditions": ["IfCondition", "UnlessCondition"],
    "launch.event_handlers": ["OnProcessExit"],
    "launch.events": [],
    "launch.launch_description": ["LaunchDescription"],
    "launch.substitutions": [
        "EnvironmentVariable",
        "LaunchConfiguration",
        "PathJoinSubstitution",
        "PythonExpression",
        "TextSubstitution",
        "ThisLaunchFileDir",
    ],
    "launch_ros": [],
    "launch_ros.actions": ["LifecycleNode", "Node"],
    "launch_ros.parameter_descriptions": ["ParameterValue"],
    "launch_ros.substitutions": ["FindPackageShare"],
}


@contextmanager
def installed() -> Iterator[None]:
    """The stand-in modules can be imported inside this block; what was there before is there again after it."""
    modules = {name: _Module(name, words) for name, words in MODULES.items()}
    modules["launch.events"].Shutdown = description.ShutdownEvent
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
    def __init__(self, name: str, words: list[str]):
        super().__init__(name)
        self.__path__ = []
        for word in words:
            setattr(self, word, getattr(description, word))

    def __getattr__(self, word: str):
        if word.startswith("__"):
            raise AttributeError(word)
        raise description.LaunchError(f"{self.__name__}.{word} {description.UNSUPPORTED}")
