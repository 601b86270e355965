"""Parameters of the learner. Nothing slow is imported here: a launch file reads them."""

from dataclasses import dataclass

from spike_ctrl._files.ranges import setting
from spike_ctrl_ros.training_parameters import TrainingOptions


@dataclass(frozen=True)
class LearnerParameters(TrainingOptions):
    steps: int = setting(0, "Environment steps to train, to which all schedules are scaled; 0: those of the recipe.", low=0)
    run: str = setting("", "Folder of the run; empty: runs/RECIPE-TIME.")
    start_from: str = setting("", "Checkpoint with the first weights of a new run, for fine-tuning; empty: random weights.")
