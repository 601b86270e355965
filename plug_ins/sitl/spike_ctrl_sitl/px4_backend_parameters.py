"""Parameters of px4_backend. Nothing slow is imported here: a launch file reads them."""

from dataclasses import dataclass

from spike_ctrl._files.ranges import setting, within
from spike_ctrl.px4.connection import LinkOptions
from spike_ctrl_ros.training_parameters import TrainingOptions


@dataclass(frozen=True)
class Px4BackendParameters(TrainingOptions, LinkOptions):
    recipe: str = setting("rates", "Recipe of the training: a name among config/recipes or a path to a YAML file.")
    airframe: str = setting("sih_quadx", "The vehicle: a name among config/airframes or a path to a YAML file.")
    vehicles: int = within(1, 1, 1, "Number of vehicles; an autopilot carries one.")
    link: str = setting("mavlink", "Link to the autopilot: mavlink, or that of a plug-in to another one, as betaflight.")
    height: float = within(5.0, 1.0, 100.0, "Height of the centre of the room that it flies in above the take-off.", "m")
    room: float = within(4.0, 1.5, 50.0, "Distance from the centre of the room to its walls.", "m")
    restarts: int = within(
        0, 0, 100, "How often a simulation may be ended for its next start when the vehicle lies on its side."
    )
