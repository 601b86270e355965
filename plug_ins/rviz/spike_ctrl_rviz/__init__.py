"""What RViz shows of a graph: /tf, robot_description, poses and paths of vehicle and set-point; node rviz_publisher."""

from spike_ctrl_ros import end_quietly

end_quietly(__path__)
