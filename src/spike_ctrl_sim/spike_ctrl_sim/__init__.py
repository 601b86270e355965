"""Node simulator: a batch of quadrotors in lockstep, or one in real time."""
