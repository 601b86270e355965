"""Conditions that bar a flight beside Betaflight: what was found, what is wanted, and what to type into its CLI. Pure.

MSP has no names of settings, so that only what its messages tell is looked at. What they do not tell is shown by what the
firmware does: while MSP override is on and the vehicle is disarmed, MSP_RC must give back the four pulses that were sent,
and no other channel may change.
"""

import math
from collections.abc import Mapping, Sequence

from spike_ctrl.airframe import Airframe
from spike_ctrl.px4.parameter_rules import Unmet
from spike_ctrl_betaflight import msp, rates
from spike_ctrl_betaflight.options import BetaflightOptions

OLDEST_API, NEWEST_API = (1, 46), (1, 49)  # Betaflight 4.5 to 2026.12: what was run
SLOWEST, ROUND_TRIP = 80.0, 0.015  # Hz of states; s, median
FAILSAFE_DELAY = 1.5  # s
OVERRIDDEN = 15  # msp_override_channels_mask: roll, pitch, throttle, yaw
ANALOG = ("PWM", "ONESHOT125", "ONESHOT42", "MULTISHOT")  # a motor's command is the length of a pulse
IDLE_APART = 0.005  # motor command
LEAST_WARNING = 3.3  # V of a cell
MIXED = 32768  # behind a mixer: channel 16, so that the mode MSP OVERRIDE exists and overrides nothing that flies
NAMES = {
    msp.API_VERSION: "MSP_API_VERSION", msp.FC_VERSION: "MSP_FC_VERSION", msp.BOXIDS: "MSP_BOXIDS",
    msp.RC_TUNING: "MSP_RC_TUNING", msp.RX_CONFIG: "MSP_RX_CONFIG", msp.RC_DEADBAND: "MSP_RC_DEADBAND",
    msp.FAILSAFE_CONFIG: "MSP_FAILSAFE_CONFIG", msp.RX_MAP: "MSP_RX_MAP", msp.STATUS_EX: "MSP_STATUS_EX",
    msp.ADVANCED_CONFIG: "MSP_ADVANCED_CONFIG", msp.BATTERY_CONFIG: "MSP_BATTERY_CONFIG",
}  # fmt: skip


def audit(
    known: Mapping[int, bytes],
    airframe: Airframe,
    holds_last_allowed: bool = False,
    mixes: bool = False,
    idle: float = BetaflightOptions.idle,
) -> list[Unmet]:
    """What the answers that are known show. known: the payload of the newest answer to each command.

    mixes: whether the sticks go through a CRSF mixer, and none by override. idle: motor command of no throttle, as the
    connection has it.
    """
    missing = [name for command, name in NAMES.items() if command not in known]
    if missing:
        return [Unmet(f"link: no answer to {', '.join(missing)}", "check the line, its baud rate and MSP on that port")]
    return [
        *(one for one in audit_version(known, holds_last_allowed or mixes) if one.blocks or not mixes),
        *audit_rates(known, airframe),
        *audit_receiver(known, MIXED if mixes else OVERRIDDEN),
        *audit_motors(msp.motors(known[msp.ADVANCED_CONFIG]), idle),
        *audit_battery(msp.battery_limits(known[msp.BATTERY_CONFIG])),
        *audit_arming(msp.status(known[msp.STATUS_EX])),
    ]


def audit_version(known: Mapping[int, bytes], holds_last_allowed: bool) -> list[Unmet]:
    """Whether the firmware is Betaflight of a version that was run, and what it does when override frames stop."""
    if (name := known.get(msp.FC_VARIANT, b"BTFL")) != b"BTFL":
        return [Unmet(f"firmware: found {name!r}, wanted Betaflight (BTFL)", "flash Betaflight")]
    api = tuple(known[msp.API_VERSION][1:3])
    shown = ".".join(map(str, api))
    if not OLDEST_API <= api <= NEWEST_API:
        return [Unmet(f"firmware: MSP API: found {shown}, wanted 1.46 to 1.49", "flash Betaflight 2026.6")]
    if api < (1, 48):
        what = (
            f"firmware: MSP API {shown}: it flies the last override for ever when this computer dies, wanted 1.48 or later"
        )
        cure = "flash Betaflight 2026.6 or later, or add holds_last=allowed to the connection and keep a hand on the switch"
        return [Unmet(what, cure, blocks=not holds_last_allowed)]
    return []


def audit_rates(known: Mapping[int, bytes], airframe: Airframe) -> list[Unmet]:
    """Whether the rate profile reaches what is commanded, finely enough, and the throttle's curve is straight."""
    profile = msp.rate_profile(known[msp.RC_TUNING])
    if profile.kind >= len(rates.KINDS):
        return [
            Unmet(f"rates_type: found {profile.kind}, wanted one of {', '.join(rates.KINDS)}", "set rates_type = ACTUAL")
        ]
    kind, dead = rates.KINDS[profile.kind], known[msp.RC_DEADBAND]
    curves = rates.curves(kind, profile.rc_rates, profile.rates, profile.expo, profile.limits, dead[0], dead[1])
    found = []
    for name, curve, most in zip(("roll", "pitch", "yaw"), curves, airframe.max_rates, strict=True):
        if curve.fastest < most:
            fast, wanted = math.degrees(curve.fastest), math.degrees(most)
            cure = f"set rates_type = ACTUAL; set {name}_srate = {math.ceil(wanted / 10)}"
            found.append(Unmet(f"rates: {name}: found at most {fast:.0f} deg/s, wanted {wanted:.0f}", cure))
        if (coarse := math.degrees(curve.coarsest)) > 5:
            found.append(Unmet(f"rates: {name}: found steps of {coarse:.1f} deg/s per us, wanted 5", "less expo", False))
    if profile.throttle_expo:
        found.append(Unmet(f"thr_expo: found {profile.throttle_expo}, wanted 0", "set thr_expo = 0"))
    elif profile.throttle_mid != profile.throttle_hover:
        what = f"thr_hover: found {profile.throttle_hover}, wanted thr_mid, {profile.throttle_mid}"
        found.append(Unmet(what, f"set thr_hover = {profile.throttle_mid}"))
    if profile.throttle_limit_type:
        what = f"throttle_limit_type: found {profile.throttle_limit_type}, wanted OFF"
        found.append(Unmet(what, "set throttle_limit_type = OFF"))
    return found


def audit_motors(motors: msp.MotorConfig, idle: float) -> list[Unmet]:
    """Warnings: a protocol whose commands drift with the ESC's calibration, and another idle than the connection has."""
    found = []
    if motors.protocol in ANALOG:
        what = (
            f"motor_pwm_protocol: found {motors.protocol}, wanted DSHOT: an analog pulse drifts with the ESC's calibration"
        )
        found.append(Unmet(what, "set motor_pwm_protocol = DSHOT300, if the ESCs take it", False))
    if abs(motors.idle - idle) > IDLE_APART:
        what = f"dshot_idle_value: found {10000 * motors.idle:.0f}, the connection has idle={idle:g}"
        found.append(Unmet(what, f"add idle={motors.idle:g} to the connection", False))
    return found


def audit_battery(limits: msp.BatteryLimits) -> list[Unmet]:
    """Warnings: a battery that nobody measures, and a warning that comes when little is left."""
    if not limits.measured:
        return [Unmet("battery_meter: found NONE, wanted a voltage meter", "set battery_meter = ADC", False)]
    if limits.warning < LEAST_WARNING:
        cell = f"vbat_warning_cell_voltage: found {limits.warning:.2f} V, wanted at least {LEAST_WARNING} V"
        return [Unmet(cell, f"set vbat_warning_cell_voltage = {100 * LEAST_WARNING:.0f}", False)]
    return []


def audit_receiver(known: Mapping[int, bytes], mask: int = OVERRIDDEN) -> list[Unmet]:
    """Override, sticks and what Betaflight does when its receiver is lost."""
    found = []
    if msp.OVERRIDE not in known[msp.BOXIDS]:
        cure = f"set msp_override_channels_mask = {mask}; and a switch for the mode MSP OVERRIDE: aux 1 50 1 1700 2100 0 0"
        found.append(Unmet(f"msp_override_channels_mask: found 0, wanted {mask}", cure))
    receiver = msp.receiver(known[msp.RX_CONFIG])
    if receiver.middle != rates.MIDDLE:
        found.append(Unmet(f"mid_rc: found {receiver.middle}, wanted {rates.MIDDLE}", f"set mid_rc = {rates.MIDDLE}"))
    safe = msp.failsafe(known[msp.FAILSAFE_CONFIG])
    if safe.delay > FAILSAFE_DELAY:
        what = f"failsafe_delay: found {10 * safe.delay:.0f}, wanted at most {10 * FAILSAFE_DELAY:.0f}"
        found.append(Unmet(what, f"set failsafe_delay = {10 * FAILSAFE_DELAY:.0f}"))
    if safe.procedure == 2:
        cure = "set failsafe_procedure = DROP, or AUTO-LAND"
        found.append(Unmet("failsafe_procedure: found GPS-RESCUE, wanted one that needs no satellites", cure))
    return found


def audit_arming(status: msp.Status) -> list[Unmet]:
    """What bars arming, but for the throttle and the switch, which are the pilot's."""
    flags = [flag for flag in status.disabled if flag not in ("THROTTLE", "ARM_SWITCH", "MSP", "CLI", "ANGLE")]
    if not flags:
        return []
    return [Unmet(f"arming: found {', '.join(flags)}, wanted nothing that bars it", "type `status` in the CLI")]


def audit_link(rate: float, latencies: Sequence[float], poses: bool) -> list[Unmet]:
    """States per second, and the median time (s) of an answer. poses: whether any pose has come."""
    if not poses:
        return [
            Unmet("position: no pose has come", "start motion capture or VIO; its topic is the option pose of connection")
        ]
    found = []
    if rate < SLOWEST:
        what = f"state: found {rate:.0f} Hz, wanted at least {SLOWEST:g} Hz"
        found.append(Unmet(what, "raise the rate of the poses, the baud rate, and serial_update_rate_hz"))
    if latencies and (middle := sorted(latencies)[len(latencies) // 2]) > ROUND_TRIP:
        what = f"link: an answer takes {1e3 * middle:.0f} ms, wanted at most {1e3 * ROUND_TRIP:.0f} ms"
        found.append(Unmet(what, "set serial_update_rate_hz = 1000; and a baud rate of 460800 or more"))
    return found


def audit_override(
    sent: Sequence[int], before: Sequence[int], flown: Sequence[int], order: Sequence[int], mask: int = OVERRIDDEN
) -> list[Unmet]:
    """Whether override reaches the four channels and no other. sent: pulses of MSP_SET_RAW_RC. before, flown: MSP_RC
    (roll, pitch, yaw, throttle, switches) without and with override. order: MSP_RX_MAP. mask: as it should be.
    """
    names = ("roll", "pitch", "yaw", "throttle")
    wrong = [name for n, name in enumerate(names) if abs(flown[n] - sent[order[n]]) > 1]
    found = []
    if wrong:
        what = f"msp_override_channels_mask: {', '.join(wrong)} not overridden, wanted all four"
        cure = f"set msp_override_channels_mask = {mask}"
        found.append(Unmet(what, cure + "; and start the mixer, then switch on" if mask == MIXED else cure))
    others = [n + 1 for n in range(4, min(len(before), len(flown))) if abs(before[n] - flown[n]) > 20]
    if others:
        what = (
            f"msp_override_channels_mask: channels {', '.join(map(str, others))} overridden, which are the pilot's switches"
        )
        found.append(Unmet(what, f"set msp_override_channels_mask = {mask}"))
    return found
