"""Compare a policy with other controllers, in our simulator and in simulators of others."""
