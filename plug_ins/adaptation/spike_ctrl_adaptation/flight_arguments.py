"""The launch arguments `adapt` and `from_transitions` of a flight: the node adapter, which tunes the policy."""

from launch.actions import DeclareLaunchArgument, LogInfo, Shutdown
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from spike_ctrl.launching.installed import profile_variables

PARAMETERS = {"airframe": str, "model": str, "from_transitions": bool}


def declarations():
    """The arguments."""
    tune = "Tune the policy in flight for what becomes of the vehicle, at the lowest priority."
    learn = "With adapt: learn from the flight's transitions where no model explains it."
    return [
        DeclareLaunchArgument("adapt", default_value="false", description=tune),
        DeclareLaunchArgument("from_transitions", default_value="false", description=learn),
    ]


def when_ended(event, context):
    """An adapter that refuses its parameters ends the flight before it begins; without a later one the flight goes on."""
    if event.returncode == 0 or context.is_shutdown:
        return []
    if event.returncode == 2:
        return [Shutdown(reason="a node refuses its parameters")]
    return [LogInfo(msg="the flight goes on without adaptation")]


def last(context):
    """The adapter. It uses the profile of the flight's other nodes, and is no part of its control path."""
    profile = dict.fromkeys(profile_variables(), LaunchConfiguration("dds_profile"))
    return [
        Node(
            package="spike_ctrl_adaptation",
            executable="adapter",
            name="adapter",
            parameters=[{n: ParameterValue(LaunchConfiguration(n), value_type=kind) for n, kind in PARAMETERS.items()}],
            ros_arguments=["--log-level", LaunchConfiguration("log_level")],
            additional_env=profile | {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT"},
            output="screen",
            on_exit=when_ended,
            sigterm_timeout="60",  # s: a landing takes time
            condition=IfCondition(LaunchConfiguration("adapt")),
        )
    ]
