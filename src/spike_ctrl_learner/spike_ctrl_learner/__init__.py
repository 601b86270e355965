"""Node learner: replay buffer, TD3BC + JSRL, checkpoints."""
