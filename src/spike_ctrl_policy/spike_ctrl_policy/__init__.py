"""Node snn_policy: stateful spiking inference at control rate."""

from spike_ctrl_ros import end_quietly

end_quietly(__path__)
