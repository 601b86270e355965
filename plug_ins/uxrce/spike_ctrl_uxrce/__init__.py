"""Command PX4 over uXRCE-DDS, where px4_msgs is installed: the autopilot links uxrce and uxrce_mode."""
