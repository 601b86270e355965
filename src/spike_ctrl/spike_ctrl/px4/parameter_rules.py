"""The autopilot's parameters as a flight and its airframe want them, by PX4's version: rules, what is unmet, what to set."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import Airframe
from spike_ctrl.flight.flight_settings import FlightSettings

PX4Version = tuple[int, int]
# Measured: 1.17 and 1.18 (beta). Read in its source: the others.
KNOWN_VERSIONS: tuple[PX4Version, ...] = ((1, 14), (1, 15), (1, 16), (1, 17), (1, 18))
# From here on MAN_OVERRIDE_SPD takes the place of COM_RC_OVERRIDE, and NAV_RCL_ACT knows 7.
STICK_SPEED: PX4Version = (1, 18)
LOSS_TIME = {"rates": 0.2, "motors": 0.05}  # s that old commands are flown: those of motors turn a vehicle over within .2 s
REMOTE_CONTROL = (0, 2, 3, 5, 6, 7, 8)  # values of COM_RC_IN_MODE with which PX4 uses a remote control; not 1 and 4


DEFAULT_HOVER, HOVER_WITHIN = 0.5, 0.1  # MPC_THR_HOVER of PX4's default, and by how much it may be off


class Unmet(NamedTuple):
    """A condition that is not met. what: its name, the value found and the value wanted. fix: what to do about it."""

    what: str
    fix: str
    blocks: bool = True

    def __str__(self) -> str:
        return f"{self.what}; {self.fix}"


@dataclass(frozen=True)
class Wanted:
    """What the preflight wants beside the flight settings. remote_control: a pilot has one; False: the flight has none.

    assume: PX4's version, such as "1.18", where it tells none or one that is not known; empty: what it tells. speed: seconds
    of the autopilot's clock in one second of ours, which a simulation is asked for. paced: the vehicle waits, and the clock
    of the flight is its own.
    """

    remote_control: bool = True
    assume: str = ""
    speed: float = within(1.0, 0.1, 100.0)
    paced: bool = False
    state_rate: float = within(80.0, 1.0, 1000.0)  # Hz, least rate of received states


def parse_version(text: str) -> PX4Version | None:
    """The version in "1.18" or "1.18.0"; None where it is none."""
    found = re.fullmatch(r"v?(\d{1,3})\.(\d{1,3})(\.\d+)?", text)
    return None if found is None else (int(found[1]), int(found[2]))


def require_version(text: str, what: str) -> None:
    """Raises UsageError, which begins with `what`, unless the text is empty or a version that the preflight knows."""
    if text and parse_version(text) not in KNOWN_VERSIONS:
        raise UsageError(f"{what}: found '{text}', wanted one of {', '.join(map(_words, KNOWN_VERSIONS))}")


def audit_version(told: PX4Version | None, wanted: Wanted) -> list[Unmet]:
    """Whether the preflight knows the parameters and failsafes of this version. told: by the autopilot, None: not yet."""
    if wanted.assume:
        if told is None or told == parse_version(wanted.assume):
            return []
        what = f"autopilot: found PX4 {_words(told)}, checked as {wanted.assume}, as assume says"
        return [Unmet(what, "leave assume out, or install that version", False)]
    known = f"{_words(KNOWN_VERSIONS[0])} to {_words(KNOWN_VERSIONS[-1])}"
    fix = "its failsafes may differ: take it for one of these by --assume VERSION (assume:=VERSION in a launch), or update"
    if told is None:
        return [Unmet(f"autopilot: version: not received, wanted PX4 {known}", fix)]
    if told not in KNOWN_VERSIONS:
        return [Unmet(f"autopilot: found PX4 {_words(told)}, wanted {known}", fix)]
    return []


def _words(version: PX4Version) -> str:
    return ".".join(map(str, version))


def parameter_names(rules: Sequence[Rule]) -> tuple[str, ...]:
    """The parameters that these rules are about."""
    return tuple(dict.fromkeys(rule.name for rule in rules))


def to_set(found: Mapping[str, float], rules: Sequence[Rule]) -> dict[str, float]:
    """New values for those of the autopilot's parameters that bar a flight by these rules. found: values by name."""
    barring = [rule for rule in rules if rule.blocks and rule.name in found]
    values = {rule.name: float(rule.value) for rule in barring if not rule.accepts(found[rule.name])}
    if "COM_RCL_EXCEPT" in values and math.isfinite(found["COM_RCL_EXCEPT"]):
        values["COM_RCL_EXCEPT"] = float(int(found["COM_RCL_EXCEPT"]) ^ 4)  # the other bits stay as the user set them
    return values


# m. PX4 v1.17 and later correct the home's altitude by single satellite fixes in the first 120 s after a take-off. In PX4's
# own simulation, with fixes that are .5 m off, it moved by 1 to 2.5 m within seconds in 19 of 20 flights.
HOME_WANDER = 2.5
# What the braking invariant rests on (flight/braking.py). By its own defaults PX4 v1.17 stops a climb as gently as a lift.
BRAKES = {"MPC_ACC_HOR": 3, "MPC_ACC_UP_MAX": 8, "MPC_ACC_DOWN_MAX": 8, "MPC_JERK_AUTO": 30}  # m/s^2, the last m/s^3


def simulated(airframe: Airframe) -> dict[str, float]:
    """What a simulated vehicle of this airframe without a remote control is set to, as the default cage wants it."""
    return {  # a test holds it against the rules below
        "COM_OF_LOSS_T": LOSS_TIME[airframe.action_layout], "COM_OBL_RC_ACT": 4, "COM_LOW_BAT_ACT": 2, "COM_RCL_EXCEPT": 4,
        "GF_ACTION": 5, "GF_MAX_HOR_DIST": 6.0, "GF_MAX_VER_DIST": 6.0, "NAV_DLL_ACT": 3, "EKF2_ACC_NOISE": 1.0,
        "EKF2_GYR_NOISE": 0.1, **BRAKES,
    }  # fmt: skip


class Rule(NamedTuple):
    """Which values of a parameter are met, in words, the one to set, and why."""

    name: str
    met: Callable[[float], bool]
    wanted: str
    value: str
    why: str
    blocks: bool = True

    def accepts(self, value: float) -> bool:
        return math.isfinite(value) and self.met(float(f"{value:.6g}"))  # the value came as a float of 32 bits


FORWARDED = Rule("MAV_FWDEXTSP", lambda v: v == 1, "1", "1", "with another value PX4 ignores all set-points")


def unmet_rules(found: Mapping[str, float], rules: Sequence[Rule]) -> list[Unmet]:
    """The rules that the autopilot's parameters do not meet. found: values by name."""
    unmet: list[Unmet] = []
    missing: dict[str, Unmet] = {}  # by name, of which there may be two rules
    for rule in rules:
        fix = f"set {rule.name} to {rule.value}: {rule.why}"
        value = found.get(rule.name)
        if value is None:
            missing.setdefault(rule.name, Unmet(f"{rule.name}: not received, wanted {rule.wanted}", fix, rule.blocks))
        elif not rule.accepts(value):
            unmet.append(Unmet(f"{rule.name}: found {value:g}, wanted {rule.wanted}", fix, rule.blocks))
    return [*missing.values(), *unmet]


def rules_for(
    settings: FlightSettings,
    airframe: Airframe,
    wanted: Wanted,
    home: Sequence[float] | None = None,
    version: PX4Version | None = None,
) -> list[Rule]:
    """What a flight wants of the parameters of an autopilot of this version. home: m, ENU; None: the origin."""
    version = parse_version(wanted.assume) or version or KNOWN_VERSIONS[-2]
    new = version >= STICK_SPEED
    may_hold = new and not wanted.remote_control
    x, y, z = home or (0.0, 0.0, 0.0)
    tilt, cage = math.degrees(settings.envelope.tilt), settings.cage.laid((x, y, z))
    horizontal = max(math.hypot(a - x, b - y) for a in (cage.low[0], cage.high[0]) for b in (cage.low[1], cage.high[1]))
    vertical = cage.high[2] - z
    wander = vertical + HOME_WANDER
    far, high, corner = math.ceil(horizontal + 1), math.ceil(wander), f"more than {horizontal:.1f} m, the cage's far corner"
    fence = "0 is no fence, and the fence around home must lie outside the cage"
    moves = f"PX4 moves its home's altitude by up to {HOME_WANDER} m in the first two minutes of a flight"
    station = "0 does nothing when the ground station is lost; with more PX4 arms only where one is connected"
    stops = f"speeds are granted that it can brake: {settings.braking.describe(2.0)}"
    lost, flown = LOSS_TIME[airframe.action_layout], "rates" if airframe.action_layout == "rates" else "motor commands"
    held = f"for this time PX4 keeps flying the last {flown}"
    acts = "1 (hold), 2 (return) or 3 (land)" + (", or 7 (hold without failsafe)" if may_hold else "")
    drops = "5 and 6 drop the vehicle" + ("; with 7 a lost remote control does not end OFFBOARD" if new else "")
    rules = [
        FORWARDED,
        Rule("COM_OF_LOSS_T", lambda v: 0 < v <= lost, f"at most {lost} s", str(lost), held),
        Rule("COM_OBL_RC_ACT", lambda v: v in (4, 5), "4 (land) or 5 (hold)", "4", "what PX4 does when set-points stop"),
        Rule("COM_LOW_BAT_ACT", lambda v: v in (2, 3), "2 (land) or 3 (return, then land)", "2", "0 only warns"),
        Rule("GF_ACTION", lambda v: v in (2, 3, 5), "2 (hold), 3 (return) or 5 (land)", "5", "the outer fence must act"),
        Rule("GF_MAX_HOR_DIST", lambda v: v > horizontal, corner, str(far), fence),
        Rule("GF_MAX_VER_DIST", lambda v: v > vertical, f"more than {vertical:.1f} m, the cage's ceiling", str(high), fence),
        # The rule above speaks of what is lower.
        Rule(
            "GF_MAX_VER_DIST", lambda v: v >= wander or not v > vertical, f"at least {wander:.1f} m", str(high), moves, False
        ),
        Rule("NAV_DLL_ACT", lambda v: v > 0, "more than 0", "3", station, False),
        Rule("COM_FAIL_ACT_T", lambda v: 0 <= v <= 5, "at most 5 s", "5", "the delay of other failsafes", False),
        *(
            Rule(name, partial(operator.le, least), f"at least {least} m/s^{3 if 'JERK' in name else 2}", str(least), stops)
            for name, least in BRAKES.items()
        ),
        Rule("NAV_RCL_ACT", lambda v: v in (1, 2, 3) or (v == 7 and may_hold), acts, "3", drops),
    ]
    if wanted.remote_control:
        why = "with another value the pilot's remote control is not used"
        rules.append(Rule("COM_RC_IN_MODE", lambda v: v in REMOTE_CONTROL, "0, 2, 3 or 5 to 8", "0", why))
        if new:
            why = "with a negative one only the mode switch, and no stick, takes over from OFFBOARD"
            rules.append(Rule("MAN_OVERRIDE_SPD", lambda v: v > 0, "more than 0", "1", why, False))
        else:
            why = "without it only the mode switch, and no stick, takes over from OFFBOARD"
            rules.append(Rule("COM_RC_OVERRIDE", lambda v: int(v) & 2 == 2, "bit 1 set", "3", why, False))
        why = "a lost remote control must end OFFBOARD"
        rules.append(Rule("COM_RCL_EXCEPT", lambda v: not int(v) & 4, "bit 2 clear", "0", why))
    else:
        why = "without it OFFBOARD ends, because there is no remote control"
        rules.append(Rule("COM_RCL_EXCEPT", lambda v: int(v) & 4 == 4, "bit 2 set", "4", why))
    why = "with another value PX4 stops the motors in the air when it detects a failure"
    rules.append(Rule("CBRK_FLIGHTTERM", lambda v: v == 121212, "121212, flight termination off", "121212", why, False))
    why, least, value = "PX4 must not give up while the guide can still recover", tilt + 5, str(math.ceil(tilt + 5))
    for name in ("FD_FAIL_R", "FD_FAIL_P"):
        rules.append(Rule(name, lambda v: v == 0 or v >= least, f"0 or at least {least:.0f} degrees", value, why))
    return rules + thrust_rules(airframe)


def thrust_rules(airframe: Airframe) -> list[Rule]:
    """PX4's model of thrust and its mixer against the airframe's. An action of 0 is the airframe's hover thrust."""
    hover, curved = thrust_model(airframe).values()
    mixer = airmode(airframe)
    allowed, words = ((1,), "1 (roll and pitch)") if mixer else ((0, 1), "0 (disabled) or 1 (roll and pitch)")
    mixes = f"airframe {airframe.name} counts on that mixer when the thrust is small"
    hovers = f"{hover:.2f} within {HOVER_WITHIN:g}, the hover thrust of airframe {airframe.name}"
    jumps = "with another value the vehicle jumps when PX4 takes over"
    learned = "the policy has learned how commands change the thrust"
    bends = f"{curved:.2f} within 0.1, as for airframe {airframe.name} with action layout {airframe.action_layout}"
    return [
        Rule("MC_AIRMODE", lambda v: v in allowed, words, str(mixer), mixes),
        Rule("MPC_THR_HOVER", lambda v: abs(v - hover) <= HOVER_WITHIN, hovers, f"{hover:.2f}", jumps),
        Rule("THR_MDL_FAC", lambda v: abs(v - curved) <= 0.1, bends, f"{curved:.2f}", learned),
    ]


def hover_thrust(airframe: Airframe) -> float:
    """The share of the full thrust, as PX4 commands it, that carries the weight. See `thrust_model`."""
    return airframe.hover if airframe.action_layout == "rates" else 1 / airframe.thrust_to_weight


def thrust_model(airframe: Airframe) -> dict[str, float]:
    """MPC_THR_HOVER and THR_MDL_FAC.

    THR_MDL_FAC is the share f of the square in PX4's model of a motor's thrust, f u^2 + (1 - f) u. PX4 puts the inverse of
    the model between mixer and motors. Layout `rates`: our rate loop has no such inverse, so f is 0. Layout `motors`: PX4
    receives thrusts, and f is the best fit to the airframe's thrust curve (least squares).
    """
    hover = hover_thrust(airframe)
    if airframe.action_layout == "rates":
        return {"MPC_THR_HOVER": round(hover, 4), "THR_MDL_FAC": 0.0}
    u = np.linspace(0, 1, 101)
    curve = np.array([airframe.thrust(float(value)) for value in u])
    bend, found = u - u * u, u - curve / airframe.thrust(1.0)
    share = float(np.clip(bend @ found / (bend @ bend), 0, 1))
    return {"MPC_THR_HOVER": round(min(max(hover, 0.1), 0.8), 4), "THR_MDL_FAC": round(share, 4)}


def thrust_changes(airframe: Airframe) -> dict[str, float]:
    """`thrust_model` of an airframe that is commanded by its motors; none for others, which fly with PX4's defaults."""
    return thrust_model(airframe) if airframe.action_layout == "motors" else {}


def hover_changes(airframe: Airframe) -> dict[str, float]:
    """MPC_THR_HOVER of an airframe that is commanded by rates, where PX4's default is too far off; none where it is not."""
    if airframe.action_layout != "rates" or abs(airframe.hover - DEFAULT_HOVER) <= HOVER_WITHIN:
        return {}
    return {"MPC_THR_HOVER": round(airframe.hover, 4)}


def airmode(airframe: Airframe) -> int:
    """MC_AIRMODE: whether PX4's mixer adds thrust for torques in roll and pitch."""
    return int(airframe.rate_loop is not None and airframe.rate_loop.airmode == "roll_pitch")
