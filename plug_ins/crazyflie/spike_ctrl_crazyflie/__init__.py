"""A Crazyflie that flies the policy itself, by the app of `spike-ctrl export --to crazyflie`, seen from the ground."""
