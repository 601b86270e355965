"""Show a recorded flight to snn_policy in shadow, and compare its answers with the recorded ones. Ends with the flight."""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue

ARGUMENTS = [
    # name, type, default, description
    ("bag", str, None, "Folder or MCAP file of the recording."),
    ("model", str, "", "Checkpoint that answers; empty: the checkpoints in the bag."),
    (
        "airframe",
        str,
        "",
        "Airframe that flew: a name among config/airframes or a path to a YAML file; empty: that of the bag.",
    ),
    (
        "realtime",
        bool,
        "",
        "The recording is of a flight in real time, answered by the compiled step for one vehicle; empty: as the bag shows.",
    ),
    ("rate", float, "1.0", "Speed against that of the flight; 0: as fast as the policy answers."),
]


def when_ended(event, context):
    return [] if context.is_shutdown else [Shutdown(reason="a node has ended")]


def from_bag(context):
    """Airframe and realtime, where they are not given. The replayer reports an unusable bag."""
    from spike_ctrl.policy.checkpoint import CheckpointError
    from spike_ctrl.recordings import BagError, replay

    values = context.launch_configurations
    try:
        airframe, realtime = replay.flown(Path(values["bag"]), values["model"])
    except (BagError, CheckpointError):
        airframe, realtime = "crazyflie", False
    values["airframe"] = values["airframe"] or airframe
    values["realtime"] = values["realtime"] or str(realtime).lower()


def generate_launch_description():
    def parameters(names):
        return {n: ParameterValue(LaunchConfiguration(n), value_type=t) for n, t, _, _ in ARGUMENTS if n in names.split()}

    return LaunchDescription(
        [
            *(DeclareLaunchArgument(n, default_value=d, description=text) for n, _, d, text in ARGUMENTS),
            OpaqueFunction(function=from_bag),
            LifecycleNode(
                package="spike_ctrl_policy",
                executable="snn_policy",
                name="snn_policy",
                namespace="",
                parameters=[parameters("airframe realtime") | {"autostart": True}],
                output="screen",
                on_exit=when_ended,
            ),
            Node(
                package="spike_ctrl_record",
                executable="replayer",
                name="replayer",
                parameters=[parameters("bag model airframe rate")],
                output="screen",
                on_exit=when_ended,
            ),
        ]
    )
