"""A quadrotor with an autopilot that speaks MAVLink as PX4 does: the project's dynamics, to rehearse flights against."""
