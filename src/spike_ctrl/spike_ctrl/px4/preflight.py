"""The preflight: every condition of a flight that is not met, in words, with what to do about it. Pure.

PX4's own failsafes are the last protection when this stack fails. The parameter values wanted here make them act in time.
Conditions that block bar every engagement; the others are warnings.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from spike_ctrl.airframe import Airframe
from spike_ctrl.flight.autopilot import Autopilot
from spike_ctrl.flight.estimate_quality import UNKNOWN_FLAGS, EstimateLimits, EstimateQuality, doubt
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.policy import voltage_input
from spike_ctrl.policy.checkpoint import Contract
from spike_ctrl.px4.parameter_rules import PX4Version, Unmet, Wanted, audit_version, rules_for, unmet_rules
from spike_ctrl.sim.observation import LAYOUT

HORIZONTAL, VERTICAL, STILL_SPEED = 0.3, 0.5, 0.3  # m, m, m/s: most deviation of the position, most speed while standing
ROUND_TRIP, SPREAD = 0.01, 0.05  # s, most of the clock
DRIFT, NOTICED = 0.2, 0.005  # of the clock's rate from 1: most, and for a warning; a quartz is better than that


class EstimatorHealth(NamedTuple):
    """Health of the autopilot's estimator. Standard deviations in m, NaN where they are unknown."""

    prearm_ok: bool  # SYS_STATUS: PREARM_CHECK
    horizontal: float = math.nan
    vertical: float = math.nan
    resets: int = 0  # in the last ten seconds
    still_speed: float = 0.0  # m/s, that it reports while the vehicle stands
    quality: EstimateQuality = EstimateQuality()  # its own word


class Clock(NamedTuple):
    """The autopilot's clock against ours, from TIMESYNC of the last seconds.

    round_trip: s. spread: of the offset about its drift, s. rate: seconds of the autopilot's clock in one second of ours.
    held_up: longest time (s) by which this computer itself was late in them.
    """

    round_trip: float
    spread: float
    rate: float = 1.0
    held_up: float = 0.0


class Heard(NamedTuple):
    """Facts of the autopilot: parameters by name, health, clock, status, position (m, ENU), rate of the state (Hz).

    home: where the vehicle last stood disarmed (m, ENU), which is the centre of PX4's geofence; None: it never did. others:
    MAV_SYS_ID of other autopilots on the link. version: PX4's, None: not told yet.
    """

    parameters: Mapping[str, float]
    estimator: EstimatorHealth | None
    clock: Clock | None
    status: Autopilot | None
    position: tuple[float, float, float] | None
    state_rate: float
    home: tuple[float, float, float] | None
    others: tuple[int, ...] = ()
    version: PX4Version | None = None


def audit(heard: Heard, settings: FlightSettings, airframe: Airframe, wanted: Wanted) -> list[Unmet]:
    """All conditions that are not met by the autopilot."""
    if heard.status is None and heard.others:
        what = f"autopilot: not heard, but system {' and '.join(map(str, heard.others))}"
        return [Unmet(what, f"set system to that MAV_SYS_ID: {heard.others[0]} (--system, or system:= in a launch)")]
    if heard.status is None:
        return [Unmet("autopilot: never heard", "check connection and port; on a serial line its baud rate, too")]
    airborne = heard.status.airborne
    return [
        *audit_version(heard.version, wanted),
        *unmet_rules(heard.parameters, rules_for(settings, airframe, wanted, heard.home, heard.version)),
        *audit_estimator(heard.estimator, heard.state_rate, wanted, airborne, heard.parameters.get("NAV_DLL_ACT", 0.0)),
        *audit_quality(heard.estimator, settings.estimate, airborne),
        *audit_battery(heard.status, settings),
        *audit_clock(heard.clock, wanted),
        *audit_cage(settings, None if airborne else heard.position),
    ]


def audit_contract(contract: Contract, airframe: Airframe, rate_hz: float, layout: str) -> list[Unmet]:
    """Where a model was made for another vehicle, rate or layout than this."""
    own = voltage_input.LAYOUT if contract.voltage else LAYOUT
    pairs = (
        ("airframe_hash", contract.airframe_hash, airframe.hash),
        ("observation", contract.observation, contract.observation if contract.sight else own),
        ("action", contract.action, layout),
        ("rate_hz", contract.rate_hz, rate_hz),
    )
    other = f"fly it with airframe:={contract.airframe}, or " if contract.airframe != airframe.name else ""
    cure = f"{other}use a model trained for airframe {airframe.name}"
    return [
        Unmet(f"model: {field}: found {found!r}, wanted {wanted!r}", cure)
        for field, found, wanted in pairs
        if found != wanted
    ]


def audit_estimator(
    estimator: EstimatorHealth | None, state_rate: float, wanted: Wanted, airborne: bool = False, station_loss: float = 0.0
) -> list[Unmet]:
    """Conditions that the estimated state does not meet. state_rate: Hz, of received states. station_loss: NAV_DLL_ACT.

    airborne: then an unknown wander is accepted, because a bridge that started in the air has never seen the vehicle stand.
    """
    if estimator is None:
        return [Unmet("estimator: nothing received", "check the connection and the autopilot's streams")]
    unmet = []
    if not estimator.prearm_ok:
        fix = "read its messages in QGroundControl"
        if station_loss > 0:
            fix += f"; with NAV_DLL_ACT {station_loss:g} it arms only where a ground station is connected"
        unmet.append(Unmet("autopilot: its own pre-arm check fails", fix))
    for name, found, limit, unit in (
        ("horizontal position deviation", estimator.horizontal, HORIZONTAL, "m"),
        ("vertical position deviation", estimator.vertical, VERTICAL, "m"),
        ("speed while standing", estimator.still_speed, STILL_SPEED, "m/s"),
    ):
        if not found <= limit and not (airborne and math.isnan(found)):
            told = "not told yet" if math.isnan(found) else f"found {found:.2f} {unit}"
            what = f"estimator: {name}: {told}, wanted at most {limit:g} {unit}"
            unmet.append(Unmet(what, "wait until the estimator has converged, or check its sensors"))
    if estimator.resets:
        what = f"estimator: found {estimator.resets} resets in ten seconds, wanted none"
        unmet.append(Unmet(what, "wait until it has converged"))
    if not state_rate >= (least := wanted.state_rate * min(wanted.speed, 1.0)):
        what = f"state: found {state_rate:.0f} Hz, wanted at least {least:g} Hz"
        unmet.append(Unmet(what, "ask for a higher rate of ODOMETRY; on a serial line raise its baud rate"))
    return unmet


def audit_quality(estimator: EstimatorHealth | None, limits: EstimateLimits, airborne: bool = False) -> list[Unmet]:
    """What the estimator itself says against its estimate, and what it does not tell although it is watched in flight."""
    if estimator is None:
        return []
    quality, unmet = estimator.quality, []
    if (objection := doubt(quality, limits, standing=not airborne)) is not None:
        unmet.append(Unmet(f"estimator: {objection.detail}", "wait until it has converged, or check satellites and sensors"))
    if math.isnan(quality.horizontal) or math.isnan(quality.vertical):
        fix = "without it nothing tells in the air that the estimate drifts; check the estimator"
        unmet.append(Unmet("estimator: deviation of the position: not told in ODOMETRY, wanted", fix))
    if quality.flags == UNKNOWN_FLAGS:
        unmet.append(Unmet("estimator: ESTIMATOR_STATUS not received, wanted it", "check the autopilot's streams"))
    return unmet


def audit_battery(status: Autopilot, settings: FlightSettings) -> list[Unmet]:
    """Conditions that the battery does not meet."""
    limits = settings.autopilot
    if not 0 <= status.battery <= 1 or not limits.voltage_low <= status.voltage < math.inf:
        what = f"battery: found {status.battery:.0%} at {status.voltage:.1f} V, wanted a plausible reading"
        return [Unmet(what, "check the power module and BAT1_* parameters")]
    if status.battery < limits.battery_low:
        what = f"battery: found {status.battery:.0%}, wanted at least {limits.battery_low:.0%}"
        return [Unmet(what, "charge or change it")]
    return []


def audit_publishers(found: Mapping[str, int], wanted: Mapping[str, int]) -> list[Unmet]:
    """Topics with a wrong number of publishers."""
    start, end = "start the node that publishes it", "end the other publisher, or isolate this graph by ROS_DOMAIN_ID"
    return [
        Unmet(f"topic {topic}: found {seen} publishers, wanted {count}", start if seen < count else end)
        for topic, count in wanted.items()
        if (seen := found.get(topic, 0)) != count
    ]


def audit_clock(clock: Clock | None, wanted: Wanted) -> list[Unmet]:
    """Checks of the autopilot's clock; says which computer was late. None: too few answers to TIMESYNC."""
    if wanted.paced:
        return []
    if clock is None:
        return [Unmet("clock: too few answers to TIMESYNC, wanted thirty in two seconds", "wait, or check the connection")]
    unmet, pace = [], clock.rate / wanted.speed
    rate = f"clock: rate: found {clock.rate:.3f} of this computer's, wanted"
    if not abs(pace - 1) <= DRIFT:
        slow, fast = (wanted.speed * (1 + sign * DRIFT) for sign in (-1, 1))
        fix = "run the simulation at that speed, tell the preflight its --speed, or give this computer less to do"
        unmet.append(Unmet(f"{rate} {slow:g} to {fast:g}", fix))
    elif abs(pace - 1) > NOTICED:
        why = "on a busy computer a simulation falls behind; the clock of a real vehicle does not"
        unmet.append(Unmet(f"{rate} {wanted.speed:g}", why, False))
    if wanted.speed != 1:  # a flight counts in the simulation's time
        return unmet
    ours = f"this computer itself was late by {1e3 * clock.held_up:.0f} ms: give it less to do"
    theirs = "the autopilot's clock jumps or stalls; a simulation may run slower: --speed 0.5"
    for name, found, limit, whose in (
        ("round trip", clock.round_trip, ROUND_TRIP, "the link is slow"),
        ("spread of the offset", clock.spread, SPREAD, theirs),
    ):
        if not found <= limit:
            what = f"clock: {name}: found {1e3 * found:.1f} ms, wanted at most {1e3 * limit:g} ms"
            unmet.append(Unmet(what, ours if clock.held_up > limit / 2 else f"this computer was in time: {whose}"))
    return unmet


def audit_cage(settings: FlightSettings, position: tuple[float, float, float] | None) -> list[Unmet]:
    """Whether the cage is wide enough, and unless it is None, the vehicle can climb from `position` (m) inside it."""
    least = settings.cage.narrowest
    for axis, low, high in zip("xy", settings.cage.low, settings.cage.high, strict=False):
        if high - low < least - 1e-6:
            what = f"cage: {axis}: found {high - low:.2f} m from wall to wall, wanted at least {least:g} m"
            return [Unmet(what, "enlarge it: a vehicle that wind and turns carry off must be able to brake inside")]
    if position is None:
        return []
    cage, height = settings.cage.laid(position).without_ground, settings.ladder.take_off_height
    above = (position[0], position[1], position[2] + height)
    if math.dist(cage.clamp(above), above) < 1e-6:
        return []
    found = "(" + ", ".join(f"{p:.2f}" for p in above) + ") m"
    what = f"cage: the point {height:g} m above the vehicle is {found}, wanted {cage.inner}"
    return [
        Unmet(what, "carry the vehicle to the middle of the cage, lower the take-off (height) or enlarge the cage (cage)")
    ]
