"""Show a recorded flight to snn_policy in shadow, and compare its answers with the recorded ones. Ends with the flight."""

from dataclasses import dataclass
from pathlib import Path

from launch import LaunchDescription
from launch.actions import OpaqueFunction, Shutdown

from spike_ctrl._files.ranges import setting
from spike_ctrl.launching.declared_arguments import LaunchSettings, declarations, of_launch, of_node
from spike_ctrl.launching.installed import in_namespace
from spike_ctrl.launching.our_nodes import node
from spike_ctrl_policy.policy_parameters import PolicyParameters
from spike_ctrl_record.recording_parameters import ReplayerParameters


@dataclass(frozen=True)
class Replay:
    """Arguments whose empty values the launch replaces by what the bag shows."""

    airframe: str = setting(
        "", "Airframe that flew: a name among config/airframes or a path to a YAML file; empty: that of the bag."
    )
    realtime: str = setting(
        "", "true: the compiled step for one vehicle answers, as in a flight in real time; empty: as the bag shows."
    )


GRAPH = {name: of_launch(LaunchSettings)[name] for name in ("log_level", "namespace")}
REPLAYER = of_node(ReplayerParameters, bag=None)
POLICY = of_node(PolicyParameters, "airframe realtime")


def when_ended(event, context):
    return [] if context.is_shutdown else [Shutdown(reason="a node has ended")]


def from_bag(context):
    """Airframe and realtime, where they are not given. The replayer reports an unusable bag."""
    from spike_ctrl.policy.checkpoint import CheckpointError
    from spike_ctrl.recordings import BagError, replay

    values = context.launch_configurations
    in_namespace(values["namespace"])
    try:
        airframe, realtime = replay.flown(Path(values["bag"]), values["model"])
    except (BagError, CheckpointError):
        airframe, realtime = "crazyflie", False
    values["airframe"] = values["airframe"] or airframe
    values["realtime"] = values["realtime"] or str(realtime).lower()


def generate_launch_description():
    return LaunchDescription(
        [
            *declarations(of_launch(Replay), REPLAYER, GRAPH),
            OpaqueFunction(function=from_bag),
            node("spike_ctrl_policy", "snn_policy", POLICY, {"autostart": True}, lifecycle=True, on_exit=when_ended),
            node("spike_ctrl_record", "replayer", REPLAYER, on_exit=when_ended),
        ]
    )
