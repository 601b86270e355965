"""Gazebo (Harmonic): model and world files with the physics of an airframe, and the link to a running world."""
