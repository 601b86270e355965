"""The simulator and the model gradient as Warp kernels: one source for processors and graphics cards."""
