"""Actions of a launch file: what it declares, sets, prints and starts.

Names, arguments and meaning are those of `launch.actions` and `launch_ros.actions`. An action changes the context that it
is given, a runner.LaunchContext. Whatever is not here is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from spike_ctrl._files.errors import UsageError
from spike_ctrl.launching.launch_file import UNSUPPORTED
from spike_ctrl_launcher.process import Process
from spike_ctrl_launcher.substitutions import IfCondition, Substitution, TextSubstitution, Words, text

if TYPE_CHECKING:
    from spike_ctrl_launcher.runner import LaunchContext as Context


class LaunchDescription:
    """The actions of a launch file, in order."""

    def __init__(self, initial_entities: Iterable[Action] | None = None) -> None:
        self.entities = list(initial_entities or [])

    def add_action(self, action: Action) -> None:
        """Append an action."""
        self.entities.append(action)

    def get_launch_arguments(self) -> list[DeclareLaunchArgument]:
        """The arguments that are declared outside of other actions."""
        return [entity for entity in self.entities if isinstance(entity, DeclareLaunchArgument)]


class Action:
    """Something that a launch file does, if its condition holds. Arguments that this runner does not know are refused."""

    def __init__(self, *, condition: IfCondition | None = None, **unsupported: Any) -> None:
        for name in unsupported:
            raise UsageError(f"{type(self).__name__}({name}=...) {UNSUPPORTED}")
        self.condition = condition

    def visit(self, context: Context) -> None:
        """Execute the action if its condition holds. Raises UsageError."""
        if self.condition is None or self.condition.evaluate(context):
            self.execute(context)

    def execute(self, context: Context) -> None:
        """Do what the action is for, whatever its condition. Raises UsageError."""
        raise UsageError(f"{type(self).__name__} does nothing")


Exit: TypeAlias = "Callable[[Process, Context], Action | Iterable[Action] | None] | Action | Iterable[Action] | None"


class DeclareLaunchArgument(Action):
    """Declares an argument NAME:=VALUE of the launch file. Without a default it must be given."""

    def __init__(
        self, name: str, *, default_value: Words | None = None, description: str = "", choices: Sequence[str] | None = None,
        **action: Any,
    ) -> None:  # fmt: skip
        super().__init__(**action)
        self.name, self.description, self.choices = name, description, choices
        self.default_value = None if default_value is None else _substitutions(default_value)

    def execute(self, context: Context) -> None:
        if self.name not in context.launch_configurations:
            if self.default_value is None:
                raise UsageError(f"argument '{self.name}' is required: {self.name}:=VALUE ({self.description})")
            context.launch_configurations[self.name] = text(context, self.default_value)
        value = context.launch_configurations[self.name]
        if self.choices is not None and value not in self.choices:
            raise UsageError(f"argument '{self.name}': found '{value}', wanted one of: {', '.join(self.choices)}")


class SetEnvironmentVariable(Action):
    """Sets an environment variable for the processes that are started after it."""

    def __init__(self, name: Words, value: Words, **action: Any) -> None:
        super().__init__(**action)
        self.name, self.value = name, value

    def execute(self, context: Context) -> None:
        context.environment[text(context, self.name)] = text(context, self.value)


class LogInfo(Action):
    """Prints a line."""

    def __init__(self, *, msg: Words, **action: Any) -> None:
        super().__init__(**action)
        self.msg = msg

    def execute(self, context: Context) -> None:
        context.log(text(context, self.msg))


class Shutdown(Action):
    """Stops all processes of the launch."""

    def __init__(self, *, reason: Words = "the launch file asks for it", **action: Any) -> None:
        super().__init__(**action)
        self.reason = reason

    def execute(self, context: Context) -> None:
        context.shutdown(text(context, self.reason))


class EmitEvent(Action):
    """Emits an event. `launch.events` holds only Shutdown, which is the action of that name."""

    def __init__(self, *, event: Shutdown, **action: Any) -> None:
        super().__init__(**action)
        if not isinstance(event, Shutdown):
            raise UsageError(f"EmitEvent(event={type(event).__name__}) {UNSUPPORTED}")
        self.event = event

    def execute(self, context: Context) -> None:
        self.event.execute(context)


class OpaqueFunction(Action):
    """Calls a Python function(context, ...) and visits the actions that it returns."""

    def __init__(
        self, *, function: Callable[..., Iterable[Action] | None], args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None, **action: Any,
    ) -> None:  # fmt: skip
        super().__init__(**action)
        self.function, self.args, self.kwargs = function, args, kwargs or {}

    def execute(self, context: Context) -> None:
        try:
            actions = self.function(context, *self.args, **self.kwargs) or ()
        except ValueError as error:  # the function refuses a value: its message is for the user
            raise UsageError(str(error)) from error
        for action in actions:
            action.visit(context)


class OnProcessExit:
    """Visits actions, or the actions that a function(event, context) returns, when a process ends."""

    def __init__(self, *, target_action: ExecuteProcess | None = None, on_exit: Exit) -> None:
        self.target_action, self.on_exit = target_action, on_exit

    def handle(self, event: Process, context: Context) -> None:
        """Visit the actions. event: the Process that has ended."""
        actions = self.on_exit(event, context) if callable(self.on_exit) else self.on_exit
        for action in [actions] if isinstance(actions, Action) else actions or ():
            action.visit(context)


class RegisterEventHandler(Action):
    """Registers a handler for the end of a process."""

    def __init__(self, event_handler: OnProcessExit, **action: Any) -> None:
        super().__init__(**action)
        self.event_handler = event_handler

    def execute(self, context: Context) -> None:
        context.handlers.append(self.event_handler)


class ExecuteProcess(Action):
    """Starts a process. Its output always goes to the screen; the launch writes no log files."""

    def __init__(
        self,
        *,
        cmd: Sequence[Words] = (),
        name: Words | None = None,
        additional_env: Mapping[Any, Words] | None = None,  # by name, which may be a substitution
        on_exit: Exit = None,
        sigterm_timeout: Words = "20",  # s from SIGINT to SIGTERM
        sigkill_timeout: Words = "5",  # s from SIGTERM to SIGKILL
        output: str = "screen",
        emulate_tty: bool = False,  # not needed: lines arrive as they are written
        **action: Any,
    ) -> None:
        super().__init__(**action)
        self.cmd, self.name, self.on_exit, self.additional_env = cmd, name, on_exit, additional_env or {}
        self.sigterm_timeout, self.sigkill_timeout = sigterm_timeout, sigkill_timeout

    def execute(self, context: Context) -> None:
        context.start(self)


class Node(ExecuteProcess):
    """Starts a process with one ROS node."""

    def __init__(
        self,
        *,
        executable: Words,
        package: Words | None = None,
        namespace: Words | None = None,
        parameters: Sequence[Words | Mapping[Any, Any]] | None = (),
        remappings: Sequence[tuple[Words, Words]] | None = (),
        arguments: Sequence[Words] | None = (),
        ros_arguments: Sequence[Words] | None = (),
        **process: Any,
    ) -> None:
        super().__init__(**process)
        self.package, self.executable, self.namespace = package, executable, namespace
        self.parameters, self.remappings = parameters or (), remappings or ()
        self.arguments, self.ros_arguments = arguments or (), ros_arguments or ()


class LifecycleNode(Node):
    """A node with a lifecycle. It needs a name and a namespace. No transition is requested for it."""

    def __init__(self, *, name: Words, namespace: Words, **node: Any) -> None:
        super().__init__(name=name, namespace=namespace, **node)


def _substitutions(value: Words) -> list[Substitution]:
    parts = value if isinstance(value, list | tuple) else [value]
    return [part if isinstance(part, Substitution) else TextSubstitution(text=str(part)) for part in parts]
