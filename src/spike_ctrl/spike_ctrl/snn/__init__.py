"""Spiking neurons, the policy network, its compiled kernels, and schedules of the surrogate slope."""
