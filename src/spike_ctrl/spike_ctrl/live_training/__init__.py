"""Training on one vehicle that flies on an autopilot and cannot be put anywhere: episodes, and the way to their starts."""
