"""Parameters of a node, declared as a dataclass of `ranges.setting` fields: type, default, description, range, choices.

None can be changed while the node runs, but for one with read_only=False.

@dataclass(frozen=True)
class Parameters:
    vehicles: int = setting(256, "Number of vehicles that fly at once.", low=1, high=65536)
    layout: str = setting("motors", "Action layout.", choices=("motors", "rates"))

values = declare(node, Parameters)      # an instance with the values that the node was started with

A launch file derives its arguments from the same class. So ROS is imported when a node declares its parameters, not before.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from spike_ctrl._files import ranges, settings
from spike_ctrl._files.errors import UsageError, meant

if TYPE_CHECKING:
    from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
    from rclpy.node import Node
    from rclpy.parameter import Parameter

Parameters = TypeVar("Parameters")
# Parameters that ROS itself may set on any node at its start.
RESERVED = ("use_sim_time", "start_type_description_service", "qos_overrides")


def declare(node: Node, parameters: type[Parameters]) -> Parameters:
    """Declare the fields of a dataclass as parameters of the node. Gives an instance with their values.

    Raises UsageError for a value that does not fit, and for a given parameter that is unknown.
    """
    fields = _fields(parameters)
    given = node._parameter_overrides  # rclpy has no public way to read parameters that are not declared
    ours = [name for name in given if name in fields or name.partition(".")[0] not in RESERVED]
    values = checked(parameters, {name: given[name].value for name in ours})
    for name, field in fields.items():
        given.pop(name, None)
        node.declare_parameter(name, getattr(values, name), _descriptor(field))
    node.add_on_set_parameters_callback(lambda changes: _check_changes(fields, changes))
    return values


def checked(parameters: type[Parameters], given: Mapping[str, object]) -> Parameters:
    """An instance of the dataclass with the given values, else its defaults. Raises UsageError as `declare` does.

    Launch files use it to refuse, before any node runs, what a node would refuse.
    """
    fields = _fields(parameters)
    for name in given:
        if name not in fields:
            hint = meant(name, fields) or f"; known keys: {', '.join(sorted(fields))}"
            raise UsageError(f"unknown parameter '{name}'{hint}")
    return parameters(**{name: _checked(fields[name], value) for name, value in given.items()})


def _fields(parameters: Any) -> dict[str, dataclasses.Field[Any]]:
    return {field.name: field for field in dataclasses.fields(parameters)}


def _checked(field: dataclasses.Field[Any], value: object) -> Any:
    """The value, cast to the type of the field. Raises UsageError."""
    return settings.read(type(field.default), field.metadata, value, "", f"parameter '{field.name}'")


def _descriptor(field: dataclasses.Field[Any]) -> ParameterDescriptor:
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    about = field.metadata
    descriptor = ParameterDescriptor(description=ranges.described(about), read_only=about.get("read_only", True))
    if "choices" in about:
        descriptor.additional_constraints = f"one of: {', '.join(map(str, about['choices']))}"
    low, high = about.get("low"), about.get("high")
    if low is not None or high is not None:
        if type(field.default) is int:
            whole = IntegerRange(from_value=-(2**63) if low is None else low, to_value=2**63 - 1 if high is None else high)
            descriptor.integer_range = [whole]
        else:
            ends = -1e308 if low is None else float(low), 1e308 if high is None else float(high)
            descriptor.floating_point_range = [FloatingPointRange(from_value=ends[0], to_value=ends[1])]
    return descriptor


def _check_changes(fields: dict[str, dataclasses.Field[Any]], changes: list[Parameter]) -> SetParametersResult:
    from rcl_interfaces.msg import SetParametersResult

    try:
        for change in changes:
            if change.name in fields:
                _checked(fields[change.name], change.value)
            elif change.name == "use_sim_time":  # rclpy declares it as changeable
                raise UsageError(f"parameter '{change.name}': read-only: give it when the node starts")
    except UsageError as error:
        return SetParametersResult(successful=False, reason=str(error))
    return SetParametersResult(successful=True)
