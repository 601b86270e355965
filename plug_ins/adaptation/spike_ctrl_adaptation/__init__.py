"""Adaptation in flight, off the control path: what has changed about the vehicle, and a policy tuned for it."""
