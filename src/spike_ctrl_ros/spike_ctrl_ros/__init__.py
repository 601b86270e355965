"""What all spike_ctrl nodes share: QoS, message conversion, parameters, spinning."""
