"""Actions of a launch file: what it declares, sets, prints and starts.

Names, arguments and meaning are those of `launch.actions` and `launch_ros.actions`. An action changes the context that it
is given, a runner.LaunchContext. Whatever is not here is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable

from spike_ctrl.launching.substitutions import UNSUPPORTED, LaunchError, Substitution, TextSubstitution, text


class LaunchDescription:
    """The actions of a launch file, in order."""

    def __init__(self, initial_entities=None):
        self.entities = list(initial_entities or [])

    def add_action(self, action) -> None:
        """Append an action."""
        self.entities.append(action)

    def get_launch_arguments(self) -> list[DeclareLaunchArgument]:
        """The arguments that are declared outside of other actions."""
        return [entity for entity in self.entities if isinstance(entity, DeclareLaunchArgument)]


class Action:
    """Something that a launch file does, if its condition holds. Arguments that this runner does not know are refused."""

    def __init__(self, *, condition=None, **unsupported):
        for name in unsupported:
            raise LaunchError(f"{type(self).__name__}({name}=...) {UNSUPPORTED}")
        self.condition = condition

    def visit(self, context) -> None:
        """Execute the action if its condition holds. Raises LaunchError."""
        if self.condition is None or self.condition.evaluate(context):
            self.execute(context)

    def execute(self, context) -> None:
        """Do what the action is for, whatever its condition. Raises LaunchError."""
        raise LaunchError(f"{type(self).__name__} does nothing")


class DeclareLaunchArgument(Action):
    """Declares an argument NAME:=VALUE of the launch file. Without a default it must be given."""

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
    """Sets an environment variable for the processes that are started after it."""

    def __init__(self, name, value, **action):
        super().__init__(**action)
        self.name, self.value = name, value

    def execute(self, context) -> None:
        context.environment[text(context, self.name)] = text(context, self.value)


class LogInfo(Action):
    """Prints a line."""

    def __init__(self, *, msg, **action):
        super().__init__(**action)
        self.msg = msg

    def execute(self, context) -> None:
        context.log(text(context, self.msg))


class Shutdown(Action):
    """Stops all processes of the launch."""

    def __init__(self, *, reason="the launch file asks for it", **action):
        super().__init__(**action)
        self.reason = reason

    def execute(self, context) -> None:
        context.shutdown(text(context, self.reason))


class ShutdownEvent:
    """The event `launch.events.Shutdown`, for EmitEvent."""

    def __init__(self, *, reason="the launch file asks for it"):
        self.reason = reason


class EmitEvent(Action):
    """Emits an event; only ShutdownEvent is supported."""

    def __init__(self, *, event, **action):
        super().__init__(**action)
        if not isinstance(event, ShutdownEvent):
            raise LaunchError(f"EmitEvent(event={type(event).__name__}) {UNSUPPORTED}")
        self.event = event

    def execute(self, context) -> None:
        context.shutdown(text(context, self.event.reason))


class OpaqueFunction(Action):
    """Calls a Python function(context, ...) and visits the actions that it returns."""

    def __init__(self, *, function: Callable, args=(), kwargs=None, **action):
        super().__init__(**action)
        self.function, self.args, self.kwargs = function, args, kwargs or {}

    def execute(self, context) -> None:
        try:
            actions = self.function(context, *self.args, **self.kwargs) or ()
        except ValueError as error:  # the function refuses a value: its message is for the user
            raise LaunchError(str(error)) from error
        for action in actions:
            action.visit(context)


class OnProcessExit:
    """Visits actions, or the actions that a function(event, context) returns, when a process ends."""

    def __init__(self, *, target_action=None, on_exit):
        self.target_action, self.on_exit = target_action, on_exit

    def handle(self, event, context) -> None:
        """Visit the actions. event: the Process that has ended."""
        actions = self.on_exit(event, context) if callable(self.on_exit) else self.on_exit
        for action in [actions] if isinstance(actions, Action) else actions or ():
            action.visit(context)


class RegisterEventHandler(Action):
    """Registers a handler for the end of a process."""

    def __init__(self, event_handler: OnProcessExit, **action):
        super().__init__(**action)
        self.event_handler = event_handler

    def execute(self, context) -> None:
        context.handlers.append(self.event_handler)


class ExecuteProcess(Action):
    """Starts a process. Its output always goes to the screen; the launch writes no log files."""

    def __init__(
        self,
        *,
        cmd=(),
        name=None,
        additional_env=None,
        on_exit=None,
        sigterm_timeout="20",  # s from SIGINT to SIGTERM
        sigkill_timeout="5",  # s from SIGTERM to SIGKILL
        output="screen",
        emulate_tty=False,  # not needed: lines arrive as they are written
        **action,
    ):
        super().__init__(**action)
        self.cmd, self.name, self.on_exit, self.additional_env = cmd, name, on_exit, additional_env or {}
        self.sigterm_timeout, self.sigkill_timeout = sigterm_timeout, sigkill_timeout

    def execute(self, context) -> None:
        context.start(self)


class Node(ExecuteProcess):
    """Starts a process with one ROS node."""

    def __init__(
        self,
        *,
        executable,
        package=None,
        namespace=None,
        parameters=(),
        remappings=(),
        arguments=(),
        ros_arguments=(),
        **process,
    ):
        super().__init__(**process)
        self.package, self.executable, self.namespace = package, executable, namespace
        self.parameters, self.remappings = parameters or (), remappings or ()
        self.arguments, self.ros_arguments = arguments or (), ros_arguments or ()


class LifecycleNode(Node):
    """A node with a lifecycle. It needs a name and a namespace. No transition is requested for it."""

    def __init__(self, *, name, namespace, **node):
        super().__init__(name=name, namespace=namespace, **node)


def _substitutions(value) -> list[Substitution]:
    parts = value if isinstance(value, list | tuple) else [value]
    return [part if isinstance(part, Substitution) else TextSubstitution(text=str(part)) for part in parts]
