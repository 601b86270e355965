"""Node recorder: writes the topics of the graph to a rosbag2 bag."""

from spike_ctrl_ros import end_quietly

end_quietly()
