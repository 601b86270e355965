"""Nodes of a flight: vehicle_bridge speaks with the autopilot, supervisor decides who flies, flight_operator asks it."""

from spike_ctrl_ros import end_quietly

end_quietly(__path__)
