"""Runs standard ROS 2 launch files: with ROS 2's own `launch` if it is installed, else with a small runner.

from spike_ctrl import launching
from spike_ctrl._files import resources
launching.run(resources.find("launch", "sim_train.launch.py"), ["vehicles:=64"])
"""

from spike_ctrl.launching.runner import arguments, become, run
from spike_ctrl.launching.substitutions import LaunchError

__all__ = ["LaunchError", "arguments", "become", "run"]
