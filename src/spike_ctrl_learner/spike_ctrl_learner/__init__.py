"""Node learner: trains a recipe's policy on the transitions of the graph, and sends checkpoints."""

from spike_ctrl_ros import end_quietly

end_quietly(__path__)
