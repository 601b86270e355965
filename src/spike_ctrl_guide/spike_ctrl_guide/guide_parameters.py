"""Parameters of guide_policy. Nothing slow is imported here: a launch file reads them."""

from dataclasses import dataclass

from spike_ctrl._files.ranges import setting, within


@dataclass(frozen=True)
class GuideParameters:
    recipe: str = setting("td3bc", "Recipe with the gains of the guide: a name in config/recipes or a path to a YAML file.")
    airframe: str = setting("crazyflie", "The vehicle: a name among config/airframes or a path to a YAML file.")
    rate: float = within(100.0, 50.0, 125.0, "Rate of the states, over which it integrates.", "Hz")
    flight: bool = setting(False, "One vehicle in real time, whose supervisor commands and ends first.")
