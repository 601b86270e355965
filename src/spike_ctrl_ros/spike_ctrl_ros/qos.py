"""The four ways messages travel. Every publisher and subscription of spike_ctrl uses one of these."""

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

LOCKSTEP_DEPTH = 512  # messages; who runs further ahead of a reader than this loses some

# Training in lockstep: nothing is lost; whoever misses a tick says so.
LOCKSTEP = QoSProfile(depth=LOCKSTEP_DEPTH, reliability=ReliabilityPolicy.RELIABLE)

# States and commands in flight: only the newest counts, a late one must never be queued.
STREAM = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)

# Status and events: rare, for people and logs.
STATUS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)

# Checkpoints in training: two are on their way at times, and none may be skipped.
CHECKPOINTS = QoSProfile(depth=8, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
