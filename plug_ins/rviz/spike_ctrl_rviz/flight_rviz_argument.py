"""The launch argument `rviz` of a flight: as that of a training, with the middleware of the flight's nodes."""

from launch.substitutions import LaunchConfiguration

from spike_ctrl.launching.installed import flight_middleware
from spike_ctrl_rviz import rviz_argument

declarations = rviz_argument.declarations


def last(context):
    """The node, on the profile of the flight's other nodes: it must not disturb them by joining."""
    return rviz_argument.last(context, additional_env=flight_middleware(LaunchConfiguration("dds_profile")))
