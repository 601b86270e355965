#!/bin/bash
# Runs a command with ROS 2 and spike_ctrl on its paths.
set -e
source /opt/ros/jazzy/setup.bash
source /opt/spike_ctrl/setup.bash
exec "$@"
