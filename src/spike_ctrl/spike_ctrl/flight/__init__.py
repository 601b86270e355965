"""A flight beside an autopilot: checks, faults, the ladder of who flies, and the one command that may leave. Pure."""
