"""MAVLink as PX4 speaks it: the autopilot's door. Only in here are NED, FRD and quaternions w, x, y, z."""
