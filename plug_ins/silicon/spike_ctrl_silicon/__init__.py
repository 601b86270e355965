"""A policy in integers of few bits: how it is rounded, how it flies, and as a core for an FPGA."""
