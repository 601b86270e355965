"""A training of a thousand steps on one vehicle that an autopilot carries: long enough to fly, too short to learn."""

SHORT = {
    "name": "short",
    "task": {"episode_steps": 170, "start": {"position": 1.5, "yaw": 1.0}},
    "network": {"slope": {"kind": "fixed", "k": 5}},
    "jump_start": {"horizon": 40, "rest": 0, "until": 0.3},
    "replay": {"capacity": 8192, "window": 20, "critic_batch": 8, "actor_batch": 8},
    "td3bc": {"label": "guide", "alpha": 0, "burn_in": 5, "critic_updates": 0, "actor_updates": 2, "bc": 1, "bc_end": 1},
    "schedule": {"steps": 1000, "iteration_steps": 200, "evaluations": 1},
}
