"""Spiking quadrotor control: simulate, train, evaluate and fly; runs without ROS."""
