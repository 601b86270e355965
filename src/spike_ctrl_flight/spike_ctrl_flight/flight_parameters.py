"""Parameters of vehicle_bridge and supervisor. Nothing slow is imported here: a launch file reads them."""

from dataclasses import dataclass

from spike_ctrl import plug_ins
from spike_ctrl._files.ranges import setting, within
from spike_ctrl.flight.flight_options import FlightOptions
from spike_ctrl.px4.connection import LinkOptions


@dataclass(frozen=True)
class BridgeParameters(FlightOptions, LinkOptions):
    link: str = setting(
        "mavlink",
        "Link of the commands: mavlink; uxrce, or uxrce_mode to fly as a mode of PX4, where px4_msgs is installed; "
        "embedded: motors of our own vehicle.",
        choices=("mavlink", *plug_ins.names("autopilot_links"), "embedded"),
    )
    px4: str = setting("1.17", "PX4's version, for link:=uxrce and uxrce_mode: px4_msgs of this version must be installed.")


@dataclass(frozen=True)
class SupervisorParameters(FlightOptions):
    model: str = setting("", "Checkpoint of snn_policy, which must fit the vehicle; empty: not checked.")
    rotor_check: bool = setting(
        False,
        "Look for a lost rotor, and let the guide land then. A flight of a policy made for a lost rotor always looks. Lost "
        "or late commands can look like one. Layout motors only.",
    )
    auto: bool = setting(False, "Arm, take off, engage the policy, fly the trajectory and land without being asked.")
    trajectory: str = setting(
        "hover",
        "Trajectories of the automatic flight, separated by commas: hover, step, circle, figure8, square or lissajous, also "
        "as KIND:SIZE:PERIOD (m, s); course:NAME:SPEED of the plug-in racing.",
    )
    setpoint: str = setting(
        "", "Centre of the trajectories, m: x,y,z or x,y,z,yaw (ENU, rad); empty: where the take-off ended."
    )
    size: float = within(0.0, 0.0, 50.0, "Size of a trajectory that names none; 0: its default.", "m")
    period: float = within(
        12.0, 0.1, 600.0, "Time of a round, for a trajectory that names none; the default fits the default cage.", "s"
    )
    duration: float = within(20.0, 0.1, 3600.0, "Time that the policy flies each trajectory.", "s")
    east: float = within(0.0, -1e5, 1e5, "East coordinate of `odom` in the frame `map` that all flights share.", "m")
    north: float = within(0.0, -1e5, 1e5, "North coordinate of `odom` in `map`; overlapping cages are not flown.", "m")
    adapt: bool = setting(False, "A candidate that was tuned in flight may steadily differ from the guide.")
    record: bool = setting(False, "A recorder belongs to this flight, and its loss is reported.")
