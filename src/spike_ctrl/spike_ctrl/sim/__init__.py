"""Simulation: batched quadrotor dynamics with their derivatives, observation, reward, randomisation, environment."""
