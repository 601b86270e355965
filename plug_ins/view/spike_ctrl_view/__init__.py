"""Nodes dashboard and viewer, which show a running graph in the terminal, and in 3-D in a browser. They publish nothing."""

from spike_ctrl_ros import end_quietly

end_quietly(__path__)
