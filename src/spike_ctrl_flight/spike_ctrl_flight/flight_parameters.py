"""Parameters that the nodes of a flight share, and the flight settings that follow from them."""

from dataclasses import dataclass

from spike_ctrl import airframe
from spike_ctrl.airframe import Airframe, AirframeError
from spike_ctrl.flight.estimate_quality import EstimateLimits
from spike_ctrl.flight.flight_settings import FlightSettings, FlightSettingsError, settings_for
from spike_ctrl.flight.force_consistency import ForceLimits
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import CheckpointError
from spike_ctrl.px4 import preflight
from spike_ctrl.px4.parameter_rules import KNOWN_VERSIONS, Wanted, parse_version
from spike_ctrl_ros.declared_parameters import NodeParameterError, parameter


@dataclass(frozen=True)
class FlightOptions:
    airframe: str = parameter("sih_quadx", "The vehicle: a name of an airframe or a path to a YAML file.")
    rate: float = parameter(100.0, "Rate of the control and of the autopilot's ODOMETRY, Hz.", low=50.0, high=125.0)
    cage: str = parameter(
        "",
        "Corners of the keep-in box, m, ENU, from where it stands: x,y,z,x,y,z, or absolute:x,y,z,x,y,z; empty: default.",
    )
    height: float = parameter(1.0, "Height of a take-off, m.", low=0.5, high=50.0)
    deviation: float = parameter(
        0.6,
        "Largest standard deviation of the horizontal position that the estimator may tell in the air, m.",
        low=0.01,
        high=100.0,
    )
    height_deviation: float = parameter(1.0, "The same of the height, m.", low=0.01, high=100.0)
    innovation: float = parameter(
        1.0, "Largest innovation, as a share of what the estimator accepts (ESTIMATOR_STATUS).", low=0.1, high=100.0
    )
    velocity_mismatch: float = parameter(
        0.8, "Most that the velocity may change within .2 s beyond what the accelerometer says, m/s.", low=0.01, high=100.0
    )
    assume: str = parameter("", "PX4's version, where it tells none or one that the preflight does not know; empty: ask it.")
    paced: bool = parameter(
        False, "The flight has the time of its simulated vehicle, which waits for answers; false: that of the computer."
    )
    remote_control: bool = parameter(True, "A pilot has a remote control; false: the autopilot must fly without one.")


def flight_settings(options: FlightOptions) -> tuple[Airframe, FlightSettings, Wanted]:
    """Airframe, settings and preflight of a flight. Raises NodeParameterError where parameters contradict each other."""
    try:
        vehicle = airframe.load(options.airframe)
        estimate = EstimateLimits(options.deviation, options.height_deviation, options.innovation)
        force = ForceLimits(options.velocity_mismatch)
        settings = settings_for(vehicle, options.rate, options.cage, options.height, estimate, force)
    except (AirframeError, FlightSettingsError) as error:
        raise NodeParameterError(str(error)) from None
    if options.assume and parse_version(options.assume) not in KNOWN_VERSIONS:
        known = ", ".join(f"{major}.{minor}" for major, minor in KNOWN_VERSIONS)
        raise NodeParameterError(f"parameter 'assume': found '{options.assume}', wanted one of {known}")
    wanted = Wanted(options.remote_control, options.assume, paced=options.paced, state_rate=0.8 * options.rate)
    return vehicle, settings, wanted


def require_fit(model: str, vehicle: Airframe, rate_hz: float) -> None:
    """Raises NodeParameterError where the checkpoint cannot be loaded, or was made for another vehicle, rate or layout."""
    try:
        contract = checkpoint.load(model).manifest.contract
    except CheckpointError as error:
        raise NodeParameterError(str(error)) from None
    for unmet in preflight.audit_contract(contract, vehicle, rate_hz, vehicle.action_layout):
        raise NodeParameterError(f"{model}: {unmet}")
