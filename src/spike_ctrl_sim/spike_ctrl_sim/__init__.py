"""Node simulator: a batch of quadrotors in lockstep, or one in real time."""

from spike_ctrl_ros import end_quietly

end_quietly(__path__)
