"""The connection to PX4: MAVLink, uXRCE-DDS and the preflight. Only here are NED, FRD and quaternions w, x, y, z in use."""
