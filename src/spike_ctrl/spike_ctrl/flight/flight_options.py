"""What users choose about a flight, as node parameters, launch arguments and options of `spike-ctrl preflight`."""

from dataclasses import dataclass

from spike_ctrl._files.ranges import setting, within


@dataclass(frozen=True)
class FlightOptions:
    airframe: str = setting("sih_quadx", "The vehicle: a name among config/airframes or a path to a YAML file.")
    rate: float = within(100.0, 50.0, 125.0, "Rate of the control and of the autopilot's ODOMETRY.", "Hz")
    cage: str = setting(
        "", "Corners of the keep-in box, m, ENU, from where it stands: x,y,z,x,y,z, or absolute:x,y,z,x,y,z; empty: default."
    )
    height: float = within(1.0, 0.5, 50.0, "Height of a take-off.", "m")
    deviation: float = within(0.6, 0.01, 100.0, "Largest standard deviation of the horizontal position in the air.", "m")
    height_deviation: float = within(1.0, 0.01, 100.0, "The same of the height.", "m")
    innovation: float = within(
        1.0, 0.1, 100.0, "Largest innovation, as a share of the estimator's own limit (ESTIMATOR_STATUS)."
    )
    velocity_mismatch: float = within(
        0.8, 0.01, 100.0, "Largest change of velocity, in .2 or .5 s, that the measured force does not explain.", "m/s"
    )
    speed: float = within(1.0, 0.1, 100.0, "Speed of a simulation, as a multiple of real time; other than 1: paced.")
    assume: str = setting(
        "", "PX4's version to assume, where it reports none or one that the preflight does not know; empty: as reported."
    )
    paced: bool = setting(
        False,
        "Times count on the vehicle's clock, which waits for answers; true with vehicle:=embedded or a speed other than 1.",
    )
    remote_control: bool = setting(True, "A pilot has a remote control; false: the autopilot must fly without one.")
