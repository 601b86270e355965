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
    innovation: float = within(1.0, 0.1, 100.0, "Largest innovation, of what the estimator accepts (ESTIMATOR_STATUS).")
    velocity_mismatch: float = within(0.8, 0.01, 100.0, "Largest velocity change in .2 or .5 s beyond the force's.", "m/s")
    speed: float = within(1.0, 0.1, 100.0, "Of a simulation: seconds of its time in one of ours; other than 1: paced.")
    assume: str = setting("", "PX4's version, where it tells none or one that the preflight does not know; empty: ask it.")
    paced: bool = setting(
        False, "The flight counts in the vehicle's time, which may wait for answers; true with vehicle:=embedded or speed:=."
    )
    remote_control: bool = setting(True, "A pilot has a remote control; false: the autopilot must fly without one.")
