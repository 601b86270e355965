"""Gazebo (Harmonic): model and world files with an airframe's physics, and a running world."""
