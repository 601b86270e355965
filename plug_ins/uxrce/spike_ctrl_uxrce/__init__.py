"""Command PX4 over uXRCE-DDS, where px4_msgs is installed: the autopilot link uxrce."""
