"""The flight settings that follow from the parameters of a flight's nodes, and the checkpoint that fits them."""

from dataclasses import replace

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.flight.estimate_quality import EstimateLimits
from spike_ctrl.flight.flight_options import FlightOptions
from spike_ctrl.flight.flight_settings import FlightSettings, for_adaptation, for_lost_rotor, settings_for
from spike_ctrl.flight.force_consistency import ForceLimits
from spike_ctrl.flight.setpoint_limiter import too_fast
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.manifest import Contract
from spike_ctrl.px4 import preflight
from spike_ctrl.px4.parameter_rules import Wanted, require_version
from spike_ctrl_flight.automatic_flight import AutomaticFlight
from spike_ctrl_flight.flight_parameters import SupervisorParameters


def flight_settings(options: FlightOptions) -> tuple[Airframe, FlightSettings, Wanted]:
    """Airframe, settings and preflight of a flight. Raises UsageError where parameters contradict each other."""
    vehicle = airframe.load(options.airframe)
    estimate = EstimateLimits(options.deviation, options.height_deviation, options.innovation)
    force = ForceLimits(options.velocity_mismatch)
    settings = settings_for(vehicle, options.rate, options.cage, options.height, estimate, force)
    require_version(options.assume, "parameter 'assume'")
    wanted = Wanted(options.remote_control, options.assume, options.speed, options.paced, 0.8 * options.rate)
    return vehicle, settings, wanted


def plan_flight(p: SupervisorParameters) -> tuple[Airframe, FlightSettings, AutomaticFlight]:
    """Vehicle, settings and automatic flight. Raises UsageError where they are impossible."""
    vehicle, settings, _ = flight_settings(p)
    settings = for_adaptation(settings) if p.adapt else settings
    contract = require_fit(p.model, vehicle, p.rate) if p.model else None
    settings = for_lost_rotor(settings, vehicle, contract is not None and contract.lost_rotor, p.rotor_check)
    sight = None if contract is None else contract.sight
    settings = settings if sight is None else sight.settings(settings, vehicle, p.trajectory)
    automatic = AutomaticFlight(p if sight is None else replace(p, trajectory="hover"), settings.envelope, sight is not None)
    for path in automatic.plan.trajectories if automatic.anywhere else ():
        if why := too_fast(path, settings.cage.laid((0.0, 0.0, 0.0)), settings.braking, settings.set_point):
            raise UsageError(f"trajectory {path.name}: {why}")
    return vehicle, settings, automatic


def require_fit(model: str, vehicle: Airframe, rate_hz: float) -> Contract:
    """The checkpoint's contract. Raises UsageError where it is of another vehicle, rate or layout, or cannot be loaded."""
    contract = checkpoint.load(model).manifest.contract
    for unmet in preflight.audit_contract(contract, vehicle, rate_hz, vehicle.action_layout):
        raise UsageError(f"{model}: {unmet}")
    return contract
