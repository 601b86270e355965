"""Parameters of recorder and replayer. Nothing slow is imported here: launch files read them."""

from dataclasses import dataclass

from spike_ctrl._files.ranges import setting


@dataclass(frozen=True)
class RecorderParameters:
    bag: str = setting("", "Folder of the bag; empty: bags/TIME, with -NAMESPACE where there is one.")
    topics: str = setting("", "Topics to record, by spaces or commas; empty: ours; all: every one below the namespace.")
    segment_mb: float = setting(1000.0, "Size at which a new file is begun.", low=0.1, unit="MB")
    flight: bool = setting(False, "States and actions are streams, as in flight; false: they come in lockstep.")
    reserve_mb: float = setting(200.0, "Space that stays free on the disk; with less, recording ends.", low=0.0, unit="MB")


@dataclass(frozen=True)
class ReplayerParameters:
    bag: str = setting("", "Folder or MCAP file of the recording.")
    model: str = setting("", "Checkpoint that answers; empty: the checkpoints in the bag.")
    airframe: str = setting("crazyflie", "The airframe that flew; snn_policy must have the same.")
    rate: float = setting(1.0, "Speed against that of the flight; 0: as fast as the policy answers.", low=0.0)
