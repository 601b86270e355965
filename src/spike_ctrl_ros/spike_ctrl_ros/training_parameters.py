"""Parameters that nodes of a training share."""

from dataclasses import dataclass

from spike_ctrl._files.ranges import setting, within


@dataclass(frozen=True)
class TrainingOptions:
    recipe: str = setting("td3bc", "Recipe of the training: a name among config/recipes or a path to a YAML file.")
    airframe: str = setting("crazyflie", "The vehicle: a name among config/airframes or a path to a YAML file.")
    vehicles: int = within(256, 1, 8192, "Number of vehicles that fly at once.")
    seed: int = setting(0, "Seed of all random numbers of the run.", low=0)
    resume: str = setting("", "Folder of an earlier run to continue, with its arguments; empty: a new run.")
