"""Node guide_policy: the privileged guide that answers every vehicle state."""
