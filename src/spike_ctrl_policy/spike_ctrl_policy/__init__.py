"""Node snn_policy: stateful spiking inference at control rate."""
