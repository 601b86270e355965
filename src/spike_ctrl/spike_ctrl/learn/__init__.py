"""Learning: replay of sequences, critics, TD3BC, the jump start, and the trainer that ties them together."""
