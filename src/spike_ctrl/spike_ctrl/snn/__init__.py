"""Spiking neurons, the policy network, slope schedules and the numpy runtime."""
