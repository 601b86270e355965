"""Parameters of rviz_publisher. Nothing slow is imported here: a launch file reads them."""

from dataclasses import dataclass

from spike_ctrl._files.ranges import setting, within


@dataclass(frozen=True)
class RvizParameters:
    airframe: str = setting("sih_quadx", "The vehicle that robot_description describes.")
    rate: float = within(30.0, 1.0, 200.0, "Rate of tf and poses, at most that of odometry.", "Hz")
    path_time: float = within(30.0, 1.0, 600.0, "Length of the paths, on the clock of odometry.", "s")
