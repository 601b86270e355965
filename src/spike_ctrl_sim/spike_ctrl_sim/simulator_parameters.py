"""Parameters of the simulator. Nothing slow is imported here: a launch file reads them."""

from dataclasses import dataclass

from spike_ctrl._files.ranges import setting
from spike_ctrl_ros.training_parameters import TrainingOptions


@dataclass(frozen=True)
class SimulatorParameters(TrainingOptions):
    realtime: bool = setting(False, "One control step every 10 ms, instead of as fast as all nodes answer.")
    free_run: bool = setting(False, "Fly without a learner, with any policy that answers.")
