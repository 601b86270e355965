"""Classical control: the geometric guide that teaches and backs up a policy, and trajectories to follow."""
