"""Training on one vehicle that flies on an autopilot: its episodes, and the flight back to the start of the next one."""
