"""The simulator that PX4's own firmware flies: the project's dynamics behind PX4's simulator interface (MAVLink HIL)."""
