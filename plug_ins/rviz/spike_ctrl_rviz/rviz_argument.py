"""The launch argument `rviz`: a node that publishes what RViz shows."""

from dataclasses import dataclass

from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration

from spike_ctrl._files.ranges import setting
from spike_ctrl.launching import declared_arguments
from spike_ctrl.launching.declared_arguments import of_launch, of_node
from spike_ctrl.launching.our_nodes import node
from spike_ctrl_rviz.rviz_parameters import RvizParameters


@dataclass(frozen=True)
class RvizArgument:
    rviz: bool = setting(False, "Also publish /tf, robot_description, poses and paths for RViz.")


def declarations():
    """The argument."""
    return declared_arguments.declarations(of_launch(RvizArgument))


def last(context, **options):
    """The node starts last: none waits for it, and if it ends, the others go on. options: of its process."""
    return [
        node(
            "spike_ctrl_rviz",
            "rviz_publisher",
            of_node(RvizParameters, "airframe"),
            condition=IfCondition(LaunchConfiguration("rviz")),
            **options,
        )
    ]
