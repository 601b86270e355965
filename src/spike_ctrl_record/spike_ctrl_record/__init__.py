"""Nodes recorder, which writes the topics of the graph to a rosbag2 bag, and replayer, which shows a bag to a policy."""

from spike_ctrl_ros import end_quietly

end_quietly(__path__)
