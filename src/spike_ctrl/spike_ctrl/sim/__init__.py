"""Simulation of a batch of quadrotors: dynamics and their derivatives, observation, reward, randomisation, episodes."""
