"""The five QoS profiles of spike_ctrl. Every publisher and subscription uses one of them."""

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

LOCKSTEP_DEPTH = 512  # messages; a publisher that is further ahead of a reader loses some

# Training in lockstep: nothing may be lost; a node that misses a tick reports it.
LOCKSTEP = QoSProfile(depth=LOCKSTEP_DEPTH, reliability=ReliabilityPolicy.RELIABLE)

# States and commands in flight: only the newest counts, and a late one must never be queued.
STREAM = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)

# What dashboard and viewer hear: a graph in lockstep must not wait for them, and what comes while they draw is counted.
ONLOOKER = QoSProfile(depth=20, reliability=ReliabilityPolicy.BEST_EFFORT)

# Status and events: rare, for people and logs.
STATUS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)

# Checkpoints in training: sometimes two are on their way, and none may be skipped.
CHECKPOINTS = QoSProfile(depth=8, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
