"""Node learner: replay buffer, TD3BC + JSRL, checkpoints."""

from spike_ctrl_ros import end_quietly

end_quietly(__path__)
