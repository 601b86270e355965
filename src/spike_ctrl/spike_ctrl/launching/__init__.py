"""Run standard ROS 2 launch files, with the real `launch` where it is installed and with a small runner where it is not.

from spike_ctrl import launching, resources
launching.run(resources.find("launch", "sim_train.launch.py"), ["vehicles:=64"])
"""

from spike_ctrl.launching.description import LaunchError
from spike_ctrl.launching.runner import arguments, become, run

__all__ = ["LaunchError", "arguments", "become", "run"]
