"""An example of a plug-in for spike_ctrl: docs/plug_ins.md explains it."""
