"""The words of a launch file: actions, substitutions and conditions, named and used as in ROS 2's `launch` and `launch_ros`.

They describe; what they do is done by the context that visits them (runner.Context). Anything that is not here is
refused by name.
"""

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from spike_ctrl._files import resources


class LaunchError(Exception):
    """A launch file or its arguments are wrong; the message is one line that says what to do."""


# Substitutions: text that is known when the launch file runs.


class Substitution:
    def perform(self, context) -> str:
        raise LaunchError(f"{type(self).__name__} has no text")

    def describe(self) -> str:
        return type(self).__name__


class TextSubstitution(Substitution):
    def __init__(self, *, text: str):
        self.text = text

    def perform(self, context) -> str:
        return self.text

    def describe(self) -> str:
        return self.text


class LaunchConfiguration(Substitution):
    def __init__(self, variable_name: str, *, default=None):
        self.variable_name, self.default = variable_name, default

    def perform(self, context) -> str:
        if self.variable_name in context.launch_configurations:
            return context.launch_configurations[self.variable_name]
        if self.default is None:
            raise LaunchError(f"LaunchConfiguration('{self.variable_name}') is used but no such argument is declared")
        return text(context, self.default)

    def describe(self) -> str:
        return f"the value of {self.variable_name}"


class EnvironmentVariable(Substitution):
    def __init__(self, name, *, default_value=None):
        self.name, self.default_value = name, default_value

    def perform(self, context) -> str:
        name = text(context, self.name)
        if name in context.environment:
            return context.environment[name]
        if self.default_value is None:
            raise LaunchError(f"environment variable {name} is not set")
        return text(context, self.default_value)

    def describe(self) -> str:
        return f"${self.name}"


class PathJoinSubstitution(Substitution):
    def __init__(self, substitutions):
        self.substitutions = substitutions

    def perform(self, context) -> str:
        return os.path.join(*(text(context, part) for part in self.substitutions))


class PythonExpression(Substitution):
    """The text of a Python expression's value; the module math is at hand, as in ROS."""

    def __init__(self, expression):
        self.expression = expression

    def perform(self, context) -> str:
        expression = text(context, self.expression)
        try:
            return str(eval(expression, {"math": math, **vars(math)}))
        except Exception as error:
            raise LaunchError(f"PythonExpression {expression!r}: {error}") from None


class ThisLaunchFileDir(Substitution):
    def perform(self, context) -> str:
        return str(context.directory)


class FindPackageShare(Substitution):
    def __init__(self, package):
        self.package = package

    def perform(self, context) -> str:
        package = text(context, self.package)
        if package == "spike_ctrl":
            return str(resources.folder("config").parent)
        places = [prefix / "share" / package for prefix in context.prefixes()]
        for place in places:
            if place.is_dir():
                return str(place)
        raise LaunchError(f"package '{package}' has no share folder; searched {', '.join(map(str, places))}")


def text(context, value) -> str:
    """Text, a substitution, or a sequence of both put together."""
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    if isinstance(value, Substitution):
        return value.perform(context)
    if isinstance(value, Sequence):
        return "".join(text(context, part) for part in value)
    raise LaunchError(f"found {value!r}, wanted text or a substitution")


# Conditions.


class IfCondition:
    def __init__(self, predicate_expression):
        self.predicate_expression = predicate_expression

    def evaluate(self, context) -> bool:
        found = text(context, self.predicate_expression).strip().lower()
        if found not in ("true", "false", "1", "0"):
            raise LaunchError(f"condition: found '{found}', wanted true, false, 1 or 0")
        return found in ("true", "1")


class UnlessCondition(IfCondition):
    def evaluate(self, context) -> bool:
        return not super().evaluate(context)


# Actions.


class LaunchDescription:
    def __init__(self, initial_entities=None):
        self.entities = list(initial_entities or [])

    def add_action(self, action) -> None:
        self.entities.append(action)

    def get_launch_arguments(self) -> list["DeclareLaunchArgument"]:
        return [entity for entity in self.entities if isinstance(entity, DeclareLaunchArgument)]


class Action:
    def __init__(self, *, condition=None, **unsupported):
        for name in unsupported:
            raise LaunchError(f"{type(self).__name__}({name}=...) {UNSUPPORTED}")
        self.condition = condition

    def visit(self, context) -> None:
        if self.condition is None or self.condition.evaluate(context):
            self.execute(context)

    def execute(self, context) -> None:
        raise LaunchError(f"{type(self).__name__} does nothing")


class DeclareLaunchArgument(Action):
    def __init__(self, name: str, *, default_value=None, description: str = "", choices=None, **action):
        super().__init__(**action)
        self.name, self.description, self.choices = name, description, choices
        self.default_value = None if default_value is None else _substitutions(default_value)

    def execute(self, context) -> None:
        if self.name not in context.launch_configurations:
            if self.default_value is None:
                raise LaunchError(f"argument '{self.name}' is required: {self.name}:=VALUE ({self.description})")
            context.launch_configurations[self.name] = text(context, self.default_value)
        value = context.launch_configurations[self.name]
        if self.choices is not None and value not in self.choices:
            raise LaunchError(f"argument '{self.name}': found '{value}', wanted one of: {', '.join(self.choices)}")


class SetEnvironmentVariable(Action):
    def __init__(self, name, value, **action):
        super().__init__(**action)
        self.name, self.value = name, value

    def execute(self, context) -> None:
        context.environment[text(context, self.name)] = text(context, self.value)


class LogInfo(Action):
    def __init__(self, *, msg, **action):
        super().__init__(**action)
        self.msg = msg

    def execute(self, context) -> None:
        context.log(text(context, self.msg))


class Shutdown(Action):
    def __init__(self, *, reason="the launch file asks for it", **action):
        super().__init__(**action)
        self.reason = reason

    def execute(self, context) -> None:
        context.shutdown(text(context, self.reason))


class ShutdownEvent:
    """`launch.events.Shutdown`, for EmitEvent."""

    def __init__(self, *, reason="the launch file asks for it"):
        self.reason = reason


class EmitEvent(Action):
    def __init__(self, *, event, **action):
        super().__init__(**action)
        if not isinstance(event, ShutdownEvent):
            raise LaunchError(f"EmitEvent(event={type(event).__name__}) {UNSUPPORTED}")
        self.event = event

    def execute(self, context) -> None:
        context.shutdown(text(context, self.event.reason))


class OpaqueFunction(Action):
    def __init__(self, *, function: Callable, args=(), kwargs=None, **action):
        super().__init__(**action)
        self.function, self.args, self.kwargs = function, args, kwargs or {}

    def execute(self, context) -> None:
        try:
            actions = self.function(context, *self.args, **self.kwargs) or ()
        except ValueError as error:  # a wrong value: its text is for the user
            raise LaunchError(str(error)) from error
        for action in actions:
            action.visit(context)


class OnProcessExit:
    """Runs actions, or the actions that a function(event, context) returns, when a node ends."""

    def __init__(self, *, target_action=None, on_exit):
        self.target_action, self.on_exit = target_action, on_exit

    def handle(self, event, context) -> None:
        actions = self.on_exit(event, context) if callable(self.on_exit) else self.on_exit
        for action in [actions] if isinstance(actions, Action) else actions or ():
            action.visit(context)


class RegisterEventHandler(Action):
    def __init__(self, event_handler: OnProcessExit, **action):
        super().__init__(**action)
        self.event_handler = event_handler

    def execute(self, context) -> None:
        context.handlers.append(self.event_handler)


class Node(Action):
    """A process that holds one ROS node. Output always goes to the screen; there are no log files of the launch."""

    def __init__(
        self,
        *,
        executable,
        package=None,
        name=None,
        namespace=None,
        parameters=(),
        remappings=(),
        arguments=(),
        ros_arguments=(),
        additional_env=None,
        on_exit=None,
        sigterm_timeout="20",  # s from SIGINT to SIGTERM
        sigkill_timeout="5",  # s from SIGTERM to SIGKILL
        output="screen",
        emulate_tty=False,  # lines arrive as they are written anyway
        **action,
    ):
        super().__init__(**action)
        self.package, self.executable, self.name, self.namespace = package, executable, name, namespace
        self.parameters, self.remappings = parameters or (), remappings or ()
        self.arguments, self.ros_arguments = arguments or (), ros_arguments or ()
        self.additional_env = additional_env or {}
        self.on_exit = on_exit
        self.sigterm_timeout, self.sigkill_timeout = sigterm_timeout, sigkill_timeout

    def execute(self, context) -> None:
        context.start(self)


class LifecycleNode(Node):
    def __init__(self, *, name, namespace, **node):
        super().__init__(name=name, namespace=namespace, **node)


class ParameterValue:
    """A parameter whose type is stated: without it, text from a substitution is read as YAML."""

    def __init__(self, value, *, value_type=None):
        self.value, self.value_type = value, value_type

    def evaluate(self, context):
        name = self.value.describe() if isinstance(self.value, Substitution) else "parameter"
        return _typed(context, self, name)


def parameters(context, found, where: str) -> dict:
    """The values of a node's parameters, with the types that ROS gives them. `where` names the node in errors."""
    return {
        text(context, key): parameters(context, value, where)
        if isinstance(value, dict)
        else _parameter(context, value, f"{where}, parameter '{text(context, key)}'")
        for key, value in found.items()
    }


def _parameter(context, value, where: str):
    if isinstance(value, ParameterValue):
        return _typed(context, value, where)
    if isinstance(value, Substitution):
        return _read(text(context, value), where)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        if any(isinstance(part, Substitution) for part in value):
            return _read(text(context, value), where)
        value = list(value)
    kinds = {type(part) for part in value} if isinstance(value, list) else {type(value)}
    if kinds == {int, float}:
        return [float(part) for part in value]
    if len(kinds) > 1 or not kinds <= {bool, int, float, str}:
        raise LaunchError(f"{where}: found {value!r}, wanted bool, int, float, str or a list of one of them")
    return value


def _read(found: str, where: str):
    """Text as YAML; no text stays no text."""
    try:
        value = yaml.safe_load(found)
    except yaml.YAMLError as error:
        raise LaunchError(f"{where}: found {found!r}: {str(error).splitlines()[0]}") from None
    return "" if value is None else value if isinstance(value, bool | int | float | str | list) else found


def _typed(context, parameter: ParameterValue, where: str):
    kind, value = parameter.value_type, parameter.value
    if kind is None:
        return _parameter(context, value, where)
    if kind is str and not isinstance(value, bool | int | float):
        return text(context, value)
    value = _parameter(context, value, where)
    if kind is float:
        try:
            return float(value)  # YAML reads 1 as int and 1e-3 as text
        except (TypeError, ValueError):
            pass
    elif isinstance(kind, type) and type(value) is kind:
        return value
    elif not isinstance(kind, type):  # List[int] and the like: YAML has settled it
        return value
    raise LaunchError(f"{where}: found {value!r}, wanted {kind.__name__}")


def _substitutions(value) -> list[Substitution]:
    parts = value if isinstance(value, list | tuple) else [value]
    return [part if isinstance(part, Substitution) else TextSubstitution(text=str(part)) for part in parts]


UNSUPPORTED = "is not supported by this runner; install ROS 2's launch (ros-DISTRO-launch-ros), which is then used instead"
