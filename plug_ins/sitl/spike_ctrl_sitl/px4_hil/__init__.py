"""A simulator for PX4's own firmware: the project's dynamics behind PX4's simulator interface (MAVLink HIL)."""
