"""The preflight: each condition is named with what was found, what is wanted and what to type."""

import pytest
from betaflight_answers import ANSWERS, BOXIDS

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl_betaflight import betaflight_preflight, msp, options

GOOD = {command: bytes.fromhex(payload) for command, payload in ANSWERS.items()} | {
    msp.BOXIDS: BOXIDS,
    msp.STATUS_EX: bytes.fromhex("e80300002700000000000000000400001a00000000000000040300"),
}
CRAFT = airframe.load("any_rates")


def changed(command, place, value):
    payload = bytearray(GOOD[command])
    payload[place] = value
    return GOOD | {command: bytes(payload)}


def words(known, **more):
    return [str(one) for one in betaflight_preflight.audit(known, CRAFT, **more) if one.blocks]


def test_a_good_vehicle_is_ready():
    assert words(GOOD) == []


@pytest.mark.parametrize(
    ("known", "found", "typed"),
    [
        (changed(msp.RC_TUNING, 7, 30), "thr_expo: found 30, wanted 0", "set thr_expo = 0"),
        (changed(msp.RC_TUNING, 14, 1), "throttle_limit_type: found 1", "set throttle_limit_type = OFF"),
        (changed(msp.RC_TUNING, 23, 40), "thr_hover: found 40, wanted thr_mid, 50", "set thr_hover = 50"),
        (changed(msp.RC_TUNING, 2, 10), "rates: roll: found at most 100 deg/s, wanted 220", "set roll_srate = 23"),
        (changed(msp.FAILSAFE_CONFIG, 0, 40), "failsafe_delay: found 40, wanted at most 15", "set failsafe_delay = 15"),
        (changed(msp.FAILSAFE_CONFIG, 7, 2), "failsafe_procedure: found GPS-RESCUE", "set failsafe_procedure = DROP"),
        (GOOD | {msp.BOXIDS: BOXIDS[:-1]}, "msp_override_channels_mask: found 0", "set msp_override_channels_mask = 15"),
        (changed(msp.STATUS_EX, 17, 4), "arming: found RXLOSS", "status"),
        (GOOD | {msp.API_VERSION: b"\0\1\x2c"}, "MSP API: found 1.44", "flash Betaflight 2026.6"),
        (GOOD | {msp.FC_VARIANT: b"INAV"}, "wanted Betaflight (BTFL)", "flash Betaflight"),
        ({}, "link: no answer to MSP_API_VERSION", "baud rate"),
    ],
)
def test_what_bars_is_named_with_what_to_type(known, found, typed):
    (only,) = words(known)
    assert found in only and typed in only


@pytest.mark.parametrize(
    ("known", "found", "typed"),
    [
        (changed(msp.ADVANCED_CONFIG, 3, 1), "motor_pwm_protocol: found ONESHOT125, wanted DSHOT", "set motor_pwm_protocol"),
        (
            changed(msp.ADVANCED_CONFIG, 7, 1),
            "dshot_idle_value: found 294, the connection has idle=0.055",
            "add idle=0.0294",
        ),
        (changed(msp.BATTERY_CONFIG, 5, 0), "battery_meter: found NONE", "set battery_meter = ADC"),
        (
            changed(msp.BATTERY_CONFIG, 11, 0x36),
            "vbat_warning_cell_voltage: found 3.10 V",
            "set vbat_warning_cell_voltage = 330",
        ),
    ],
)
def test_motors_and_battery_are_warned_of(known, found, typed):
    warnings = [str(one) for one in betaflight_preflight.audit(known, CRAFT) if not one.blocks]
    (only,) = warnings
    assert found in only and typed in only and words(known) == []


def test_a_firmware_that_flies_the_last_command_for_ever_is_refused_unless_it_is_asked_for():
    old = GOOD | {msp.API_VERSION: b"\0\1\x2e"}
    assert "flies the last override for ever" in words(old)[0]
    assert words(old, holds_last_allowed=True) == []


def test_behind_a_mixer_old_firmware_flies_and_the_mask_overrides_channel_16_alone():
    old = GOOD | {msp.API_VERSION: b"\0\1\x2e"}
    assert betaflight_preflight.audit(old, CRAFT, mixes=True) == []
    (mask,) = words(GOOD | {msp.BOXIDS: BOXIDS[:-1]}, mixes=True)
    assert "found 0, wanted 32768" in mask and "set msp_override_channels_mask = 32768" in mask
    sent, before, full_left = (1480, 1520, 1100, 1540), (1500, 1500, 1500, 1000), (885, 885, 885, 885)  # a mask of 15
    (wrong,) = betaflight_preflight.audit_override(sent, before, full_left, (0, 1, 3, 2), betaflight_preflight.MIXED)
    assert "not overridden" in str(wrong) and "msp_override_channels_mask = 32768; and start the mixer" in str(wrong)


def test_the_mask_is_shown_by_what_the_firmware_flies():
    before, sent = (1500, 1500, 1500, 1000, 1000, 2000), (1480, 1520, 1100, 1540)
    good = (1480, 1520, 1540, 1100, 1000, 2000)  # MSP_RC: roll, pitch, yaw, throttle
    assert betaflight_preflight.audit_override(sent, before, good, (0, 1, 3, 2)) == []
    (roll,) = betaflight_preflight.audit_override(sent, before, (1500, *good[1:]), (0, 1, 3, 2))
    assert "roll not overridden" in str(roll)
    (switch,) = betaflight_preflight.audit_override(sent, before, (*good[:4], 885, 2000), (0, 1, 3, 2))
    assert "channels 5 overridden" in str(switch)


def test_a_slow_link_is_named():
    assert betaflight_preflight.audit_link(100.0, [0.003] * 9, True) == []
    slow, late = betaflight_preflight.audit_link(40.0, [0.02] * 9, True)
    assert "found 40 Hz" in str(slow) and "takes 20 ms" in str(late)
    assert "no pose" in str(betaflight_preflight.audit_link(0.0, [], False)[0])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("udpin:127.0.0.1:1", "wanted tcp:HOST:PORT"),
        ("tcp:127.0.0.1:5761?hover=2", "hover: found 2, wanted 0.08 to 0.8"),
        ("tcp:127.0.0.1:5761?hoover=.4", "with one of pose, kind, hover"),
        ("tcp:127.0.0.1:5761?mixer=here", "mixer: found 'here', wanted HOST:PORT"),
        ("tcp:127.0.0.1:5761?battery=none", "battery: found 'none', wanted measured or assumed"),
    ],
)
def test_a_connection_that_says_nonsense_is_refused(text, found):
    with pytest.raises(UsageError, match=found):
        options.parse(text)


def test_a_connection_tells_its_options():
    line, chosen = options.parse("serial:/dev/ttyUSB0:921600?pose=/vrpn/pose&kind=pose&hover=0.3")
    assert line == "serial:/dev/ttyUSB0:921600" and (chosen.pose, chosen.kind, chosen.hover) == ("/vrpn/pose", "pose", 0.3)
