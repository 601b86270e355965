"""What flies, without torch: checkpoints, the numpy and the compiled step, the pilot that keeps the spiking state."""
