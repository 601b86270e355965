"""What all spike_ctrl nodes share: QoS, message conversion, parameters, and the life of a process."""
