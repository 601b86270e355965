"""Nodes of a flight: vehicle_bridge speaks MAVLink with the autopilot, supervisor decides who flies."""

from spike_ctrl_ros import end_quietly

end_quietly(__path__)
