"""A simulated quadrotor with an autopilot that speaks MAVLink as PX4 does, on the project's dynamics."""
