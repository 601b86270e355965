"""Nodes dashboard and viewer: a running graph in the terminal, and in 3-D in a browser. Neither says anything."""

from spike_ctrl_ros import end_quietly

end_quietly(__path__)
