"""The launch arguments `adapt` and `from_transitions` of a flight: the node adapter, which tunes the policy."""

from dataclasses import dataclass

from launch.actions import LogInfo, Shutdown
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration

from spike_ctrl._files.ranges import setting
from spike_ctrl.launching import declared_arguments
from spike_ctrl.launching.declared_arguments import of_launch, of_node
from spike_ctrl.launching.installed import flight_middleware
from spike_ctrl.launching.our_nodes import node
from spike_ctrl_adaptation.adapter_parameters import AdapterParameters


@dataclass(frozen=True)
class Adaptation:
    adapt: bool = setting(
        False, "Tune the policy in flight for a vehicle that changes, at the lowest priority; sets realtime:=true."
    )


FROM_TRANSITIONS = of_node(AdapterParameters, "from_transitions", only="adapt:=true")
ADAPTER = of_node(AdapterParameters, "airframe model") | FROM_TRANSITIONS


def declarations():
    """The arguments."""
    return declared_arguments.declarations(of_launch(Adaptation), FROM_TRANSITIONS)


def prepare(context):
    """An adapter that computes delays nodes under the ordinary scheduler, whatever its own priority is."""
    values = context.launch_configurations
    if values.get("adapt") == "true" and values.get("realtime", "auto") == "auto":
        values["realtime"] = "true"


def parameters(context):
    """The supervisor expects candidates that were tuned in flight."""
    return {"supervisor": {"adapt": context.launch_configurations["adapt"] == "true"}}


def when_ended(event, context):
    """An adapter that refuses its parameters ends the flight before it begins; without a later one the flight goes on."""
    if event.returncode == 0 or context.is_shutdown:
        return []
    if event.returncode == 2:
        return [Shutdown(reason="a node refuses its parameters")]
    return [LogInfo(msg="the flight goes on without adaptation")]


def last(context):
    """The adapter. It uses the profile of the flight's other nodes, and is no part of its control path."""
    return [
        node(
            "spike_ctrl_adaptation",
            "adapter",
            ADAPTER,
            additional_env=flight_middleware(LaunchConfiguration("dds_profile")),
            on_exit=when_ended,
            sigterm_timeout="60",  # s: a landing takes time
            condition=IfCondition(LaunchConfiguration("adapt")),
        )
    ]
