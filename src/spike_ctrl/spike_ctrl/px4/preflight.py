"""The preflight: every condition of a flight that is not met, in words, with what to do about it. Pure.

PX4's own failsafes are the last protection when this stack fails. The parameter values wanted here make them act in time.
Conditions that block bar every engagement; the others are warnings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import Airframe
from spike_ctrl.flight.autopilot import Autopilot
from spike_ctrl.flight.estimate_quality import UNKNOWN_FLAGS, EstimateLimits, EstimateQuality, doubt
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.policy.checkpoint import Contract
from spike_ctrl.px4 import px4_parameters
from spike_ctrl.sim.observation import LAYOUT

REMOTE_CONTROL = (0, 2, 3, 5, 6, 7, 8)  # values of COM_RC_IN_MODE with which PX4 uses a remote control; not 1 and 4


class Unmet(NamedTuple):
    """A condition that is not met. what: its name, the value found and the value wanted. fix: what to do about it."""

    what: str
    fix: str
    blocks: bool = True

    def __str__(self) -> str:
        return f"{self.what}; {self.fix}"


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
    """

    round_trip: float
    spread: float
    rate: float = 1.0


@dataclass(frozen=True)
class Wanted:
    """What the preflight wants beside the flight settings. remote_control: a pilot has one; False: the flight has none."""

    remote_control: bool = True
    state_rate: float = within(80.0, 1.0, 1000.0)  # Hz, least rate of received states
    horizontal: float = within(0.3, 0.001, 10.0)  # m
    vertical: float = within(0.5, 0.001, 10.0)
    still_speed: float = within(0.3, 0.001, 10.0)  # m/s
    round_trip: float = within(0.01, 1e-5, 1.0)  # s
    spread: float = within(0.05, 1e-5, 1.0)  # s
    drift: float = within(0.2, 1e-5, 0.5)  # of the clock's rate from 1
    noticed: float = within(0.005, 1e-5, 0.5)  # the same, for a warning: a quartz is better than that


class Heard(NamedTuple):
    """What is known of the autopilot: parameters by name, health, clock, status, position (m, ENU), rate of the state (Hz).

    home: where the vehicle last stood disarmed (m, ENU), which is the centre of PX4's geofence; None: it never did. others:
    MAV_SYS_ID of other autopilots on the link.
    """

    parameters: Mapping[str, float]
    estimator: EstimatorHealth | None
    clock: Clock | None
    status: Autopilot | None
    position: tuple[float, float, float] | None
    state_rate: float
    home: tuple[float, float, float] | None
    others: tuple[int, ...] = ()


def audit(heard: Heard, settings: FlightSettings, airframe: Airframe, wanted: Wanted) -> list[Unmet]:
    """All conditions that are not met by the autopilot."""
    if heard.status is None and heard.others:
        found = " and ".join(map(str, heard.others))
        what = f"autopilot: not heard, but system {found}"
        return [Unmet(what, f"start with that MAV_SYS_ID as its system: {heard.others[0]}")]
    if heard.status is None:
        return audit_battery(None, settings)
    airborne = heard.status.airborne
    return [
        *audit_parameters(heard.parameters, settings, airframe, wanted, heard.home),
        *audit_estimator(heard.estimator, heard.state_rate, wanted, airborne),
        *audit_quality(heard.estimator, settings.estimate, airborne),
        *audit_battery(heard.status, settings),
        *audit_clock(heard.clock, wanted),
        *audit_cage(settings, None if airborne else heard.position),
    ]


def parameter_names(settings: FlightSettings, airframe: Airframe, wanted: Wanted) -> tuple[str, ...]:
    """The autopilot's parameters that the preflight reads."""
    return tuple(rule.name for rule in _rules(settings, airframe, wanted))


def to_set(
    found: Mapping[str, float],
    settings: FlightSettings,
    airframe: Airframe,
    wanted: Wanted,
    home: Sequence[float] | None = None,
) -> dict[str, float]:
    """New values for those of the autopilot's parameters that bar a flight. Arguments as of audit_parameters."""
    barring = [rule for rule in _rules(settings, airframe, wanted, home) if rule.blocks and rule.name in found]
    values = {rule.name: float(rule.value) for rule in barring if not rule.accepts(found[rule.name])}
    if "COM_RCL_EXCEPT" in values and math.isfinite(found["COM_RCL_EXCEPT"]):
        values["COM_RCL_EXCEPT"] = float(int(found["COM_RCL_EXCEPT"]) ^ 4)  # the other bits stay as the user set them
    return values


class _Rule(NamedTuple):
    name: str
    met: Callable[[float], bool]
    wanted: str
    value: str
    why: str
    blocks: bool = True

    def accepts(self, value: float) -> bool:
        return math.isfinite(value) and self.met(float(f"{value:.6g}"))  # the value came as a float of 32 bits


def audit_parameters(
    found: Mapping[str, float],
    settings: FlightSettings,
    airframe: Airframe,
    wanted: Wanted,
    home: Sequence[float] | None = None,
) -> list[Unmet]:
    """Conditions that the autopilot's parameters do not meet. found: values by name. home: m, ENU; None: the origin."""
    unmet = []
    for rule in _rules(settings, airframe, wanted, home):
        fix = f"set {rule.name} to {rule.value}: {rule.why}"
        value = found.get(rule.name)
        if value is None:
            unmet.append(Unmet(f"{rule.name}: not received, wanted {rule.wanted}", fix, rule.blocks))
        elif not rule.accepts(value):
            unmet.append(Unmet(f"{rule.name}: found {value:g}, wanted {rule.wanted}", fix, rule.blocks))
    return unmet


def _rules(settings: FlightSettings, airframe: Airframe, wanted: Wanted, home: Sequence[float] | None = None) -> list[_Rule]:
    x, y, z = home or (0.0, 0.0, 0.0)
    tilt, cage = math.degrees(settings.envelope.tilt), settings.cage.laid((x, y, z))
    horizontal = max(math.hypot(a - x, b - y) for a in (cage.low[0], cage.high[0]) for b in (cage.low[1], cage.high[1]))
    vertical = cage.high[2] - z
    rules = [
        _Rule("MAV_FWDEXTSP", lambda v: v == 1, "1", "1", "with another value PX4 ignores all set-points"),
        _Rule(
            "COM_OF_LOSS_T", lambda v: 0 < v <= 0.2, "at most 0.2 s", "0.2", "for this time PX4 keeps flying the last rates"
        ),
        _Rule("COM_OBL_RC_ACT", lambda v: v in (4, 5), "4 (land) or 5 (hold)", "4", "what PX4 does when set-points stop"),
        _Rule("COM_LOW_BAT_ACT", lambda v: v in (2, 3), "2 (land) or 3 (return, then land)", "2", "0 only warns"),
        _Rule("GF_ACTION", lambda v: v in (2, 3, 5), "2 (hold), 3 (return) or 5 (land)", "5", "the outer fence must act"),
        _Rule(
            "GF_MAX_HOR_DIST",
            lambda v: v > horizontal,
            f"more than {horizontal:.1f} m, the cage's far corner",
            f"{math.ceil(horizontal + 1)}",
            "0 is no fence, and the fence around home must lie outside the cage",
        ),
        _Rule(
            "GF_MAX_VER_DIST",
            lambda v: v > vertical,
            f"more than {vertical:.1f} m, the cage's ceiling",
            f"{math.ceil(vertical + 1)}",
            "0 is no fence, and the fence around home must lie outside the cage",
        ),
        _Rule(
            "NAV_DLL_ACT",
            lambda v: v > 0,
            "more than 0",
            "3",
            "0 does nothing when the ground station is lost; with more PX4 arms only where one is connected",
            False,
        ),
        _Rule("COM_FAIL_ACT_T", lambda v: 0 <= v <= 5, "at most 5 s", "5", "the delay of other failsafes", False),
        _Rule("NAV_RCL_ACT", lambda v: v in (1, 2, 3), "1 (hold), 2 (return) or 3 (land)", "3", "5 and 6 drop the vehicle"),
    ]
    if wanted.remote_control:
        why = "with another value the pilot's remote control is not used"
        rules.append(_Rule("COM_RC_IN_MODE", lambda v: v in REMOTE_CONTROL, "0, 2, 3 or 5 to 8", "0", why))
        why = "a lost remote control must end OFFBOARD"
        rules.append(_Rule("COM_RCL_EXCEPT", lambda v: not int(v) & 4, "bit 2 clear", "0", why))
    else:
        why = "without it OFFBOARD ends, because there is no remote control"
        rules.append(_Rule("COM_RCL_EXCEPT", lambda v: int(v) & 4 == 4, "bit 2 set", "4", why))
    why = "with another value PX4 stops the motors in the air when it detects a failure"
    rules.append(_Rule("CBRK_FLIGHTTERM", lambda v: v == 121212, "121212, flight termination off", "121212", why, False))
    for name in ("FD_FAIL_R", "FD_FAIL_P"):
        rules.append(
            _Rule(
                name,
                lambda v: v == 0 or v >= tilt + 5,
                f"0 or at least {tilt + 5:.0f} degrees",
                f"{math.ceil(tilt + 5)}",
                "PX4 must not give up while the guide can still recover",
            )
        )
    return rules + _thrust_rules(airframe)


def _thrust_rules(airframe: Airframe) -> list[_Rule]:
    """PX4's model of thrust and its mixer against the airframe's. An action of 0 is the airframe's hover thrust."""
    hover, curved = px4_parameters.thrust_model(airframe).values()
    airmode = px4_parameters.airmode(airframe)
    allowed = (1,) if airmode else (0, 1)
    return [
        _Rule(
            "MC_AIRMODE",
            lambda v: v in allowed,
            "1 (roll and pitch)" if airmode else "0 (disabled) or 1 (roll and pitch)",
            str(airmode),
            f"airframe {airframe.name} counts on that mixer when the thrust is small",
        ),
        _Rule(
            "MPC_THR_HOVER",
            lambda v: abs(v - hover) <= 0.1,
            f"{hover:.2f} within 0.1, the hover thrust of airframe {airframe.name}",
            f"{hover:.2f}",
            "with another value the vehicle jumps when PX4 takes over",
        ),
        _Rule(
            "THR_MDL_FAC",
            lambda v: abs(v - curved) <= 0.1,
            f"{curved:.2f} within 0.1, as for airframe {airframe.name} with action layout {airframe.action_layout}",
            f"{curved:.2f}",
            "the policy has learned how commands change the thrust",
        ),
    ]


def audit_contract(contract: Contract, airframe: Airframe, rate_hz: float, layout: str) -> list[Unmet]:
    """Where a model was made for another vehicle, rate or layout than this."""
    pairs = (
        ("airframe_hash", contract.airframe_hash, airframe.hash),
        ("observation", contract.observation, LAYOUT),
        ("action", contract.action, layout),
        ("rate_hz", contract.rate_hz, rate_hz),
    )
    return [
        Unmet(f"model: {field}: found {found!r}, wanted {wanted!r}", f"use a model trained for airframe {airframe.name}")
        for field, found, wanted in pairs
        if found != wanted
    ]


def audit_estimator(
    estimator: EstimatorHealth | None, state_rate: float, wanted: Wanted, airborne: bool = False
) -> list[Unmet]:
    """Conditions that the estimated state does not meet. state_rate: Hz, of received states.

    airborne: then an unknown wander is accepted, because a bridge that started in the air has never seen the vehicle stand.
    """
    if estimator is None:
        return [Unmet("estimator: nothing received", "check the connection and the autopilot's streams")]
    unmet = []
    if not estimator.prearm_ok:
        unmet.append(Unmet("autopilot: its own pre-arm check fails", "read its messages in QGroundControl"))
    for name, found, limit, unit in (
        ("horizontal position deviation", estimator.horizontal, wanted.horizontal, "m"),
        ("vertical position deviation", estimator.vertical, wanted.vertical, "m"),
        ("speed while standing", estimator.still_speed, wanted.still_speed, "m/s"),
    ):
        if not found <= limit and not (airborne and math.isnan(found)):
            what = f"estimator: {name}: found {found:.2f} {unit}, wanted at most {limit:g} {unit}"
            unmet.append(Unmet(what, "wait until the estimator has converged, or check its sensors"))
    if estimator.resets:
        what = f"estimator: found {estimator.resets} resets in ten seconds, wanted none"
        unmet.append(Unmet(what, "wait until it has converged"))
    if not state_rate >= wanted.state_rate:
        what = f"state: found {state_rate:.0f} Hz, wanted at least {wanted.state_rate:g} Hz"
        unmet.append(Unmet(what, "ask for a higher rate of ODOMETRY, or raise the baud rate"))
    return unmet


def audit_quality(estimator: EstimatorHealth | None, limits: EstimateLimits, airborne: bool = False) -> list[Unmet]:
    """What the estimator itself says against its estimate, and what it does not tell although it is watched in flight."""
    if estimator is None:
        return []
    quality, unmet = estimator.quality, []
    if (detail := doubt(quality, limits, standing=not airborne)) is not None:
        unmet.append(Unmet(f"estimator: {detail}", "wait until it has converged, or check satellites and sensors"))
    if math.isnan(quality.horizontal) or math.isnan(quality.vertical):
        fix = "without it nothing tells in the air that the estimate drifts; check the estimator"
        unmet.append(Unmet("estimator: deviation of the position: not told in ODOMETRY, wanted", fix))
    if quality.flags == UNKNOWN_FLAGS:
        unmet.append(Unmet("estimator: ESTIMATOR_STATUS not received, wanted it", "check the autopilot's streams"))
    return unmet


def audit_battery(status: Autopilot | None, settings: FlightSettings) -> list[Unmet]:
    """Conditions that the battery does not meet. None: the autopilot was never heard."""
    limits = settings.autopilot
    if status is None:
        return [Unmet("autopilot: never heard", "check connection, port and baud rate")]
    if not 0 <= status.battery <= 1 or not limits.voltage_low <= status.voltage < math.inf:
        what = f"battery: found {status.battery:.0%} at {status.voltage:.1f} V, wanted a plausible reading"
        return [Unmet(what, "check the power module and BAT1_* parameters")]
    if status.battery < limits.battery_low:
        what = f"battery: found {status.battery:.0%}, wanted at least {limits.battery_low:.0%}"
        return [Unmet(what, "charge or change it")]
    return []


def audit_publishers(found: Mapping[str, int], wanted: Mapping[str, int]) -> list[Unmet]:
    """Topics with a wrong number of publishers."""
    unmet = []
    for topic, count in wanted.items():
        if (seen := found.get(topic, 0)) < count:
            fix = "start the node that publishes it"
            unmet.append(Unmet(f"topic {topic}: found {seen} publishers, wanted {count}", fix))
        elif seen > count:
            fix = "end the other publisher, or isolate this graph by ROS_DOMAIN_ID"
            unmet.append(Unmet(f"topic {topic}: found {seen} publishers, wanted {count}", fix))
    return unmet


def audit_clock(clock: Clock | None, wanted: Wanted) -> list[Unmet]:
    """Conditions that the autopilot's clock does not meet. None: TIMESYNC was not answered."""
    if clock is None:
        return [Unmet("clock: no answer to TIMESYNC", "check the connection")]
    busy = ", or give this computer less to do"  # a busy computer reads every clock late
    drift, rate = abs(clock.rate - 1), f"clock: rate: found {clock.rate:.3f} of this computer's"
    unmet = []
    if not drift <= wanted.drift:
        what = f"{rate}, wanted {1 - wanted.drift:g} to {1 + wanted.drift:g}"
        unmet.append(Unmet(what, f"run the simulation in real time{busy}"))
    elif drift > wanted.noticed:
        unmet.append(
            Unmet(
                f"{rate}, wanted 1",
                "on a busy computer a simulation falls behind; the clock of a real vehicle does not",
                False,
            )
        )
    return unmet + [
        Unmet(f"clock: {name}: found {1e3 * found:.1f} ms, wanted at most {1e3 * limit:g} ms", fix)
        for name, found, limit, fix in (
            ("round trip", clock.round_trip, wanted.round_trip, f"use a faster link{busy}"),
            ("spread of the offset", clock.spread, wanted.spread, f"wait, or find what sets the clock{busy}"),
        )
        if not found <= limit
    ]


def audit_cage(settings: FlightSettings, position: tuple[float, float, float] | None) -> list[Unmet]:
    """Whether the vehicle can climb from `position` (m) to the take-off height inside the cage. None: not checked."""
    if position is None:
        return []
    cage, height = settings.cage.laid(position).without_ground(), settings.ladder.take_off_height
    above = (position[0], position[1], position[2] + height)
    if math.dist(cage.clamp(above), above) < 1e-6:
        return []
    found = "(" + ", ".join(f"{p:.2f}" for p in above) + ") m"
    what = f"cage: the point {height:g} m above the vehicle is {found}, wanted {cage.inner}"
    return [Unmet(what, "carry the vehicle to the middle, lower take_off_height or enlarge the cage")]
