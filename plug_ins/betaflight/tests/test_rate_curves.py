"""The five rate curves: against the curves as their authors draw them, and against the firmware."""

import math

import pytest

from spike_ctrl_betaflight.rates import KINDS, RateCurve, curves, forward

CASES = {  # rc_rate, rate, expo of the CLI
    "BETAFLIGHT": [(100, 70, 0), (180, 80, 30), (220, 60, 15)],
    "RACEFLIGHT": [(37, 80, 50), (60, 0, 0)],
    "KISS": [(100, 70, 0), (90, 75, 40)],
    "ACTUAL": [(7, 67, 0), (20, 90, 54), (30, 20, 0)],
    "QUICK": [(100, 67, 0), (120, 70, 40)],
}


@pytest.mark.parametrize(
    ("kind", "numbers", "stick", "wanted"),
    [  # deg/s, computed by hand from what each kind promises
        ("ACTUAL", (7, 67, 0), 1.0, 670.0),  # max_rate is the rate at full stick
        ("ACTUAL", (20, 90, 54), 1.0, 900.0),
        ("ACTUAL", (7, 67, 0), 0.001, 0.0706),  # and its centre's sensitivity is the slope in the middle
        ("BETAFLIGHT", (100, 0, 0), 1.0, 200.0),  # RC rate 1 without super rate: 200 deg/s
        ("BETAFLIGHT", (100, 70, 0), 1.0, 666.667),  # super rate .7: over 1 - .7
        ("BETAFLIGHT", (220, 0, 0), 0.5, 510.8),  # above 2 it grows by 14.54 as fast
        ("RACEFLIGHT", (37, 80, 50), 1.0, 666.0),  # 370 deg/s and 80 % of it more
        ("KISS", (100, 70, 0), 1.0, 666.667),
        ("QUICK", (100, 67, 0), 1.0, 670.0),  # max rate at full stick
        ("QUICK", (100, 67, 0), 0.001, 0.2001),
    ],
)
def test_a_curve_has_the_values_that_its_kind_promises(kind, numbers, stick, wanted):
    assert forward(kind, *numbers, stick) == pytest.approx(wanted, rel=2e-3)
    assert forward(kind, *numbers, -stick) == pytest.approx(-wanted, rel=2e-3)


@pytest.mark.parametrize(("kind", "numbers"), [(k, n) for k in KINDS for n in CASES[k]])
@pytest.mark.parametrize("deadband", [0, 5])
def test_no_other_pulse_commands_a_rate_that_is_nearer(kind, numbers, deadband):
    curve = RateCurve(kind, *numbers, deadband=deadband)
    every = [curve.rate(pulse) for pulse in range(1000, 2001)]
    for step in range(-60, 61):
        wanted = step / 60 * 1.05 * curve.fastest
        assert abs(curve.rate(curve.pulse(wanted)) - wanted) == min(abs(found - wanted) for found in every)
    assert curve.pulse(0.0) == 1500


def test_yaw_turns_against_its_stick_and_a_limit_is_kept():
    roll, _, yaw = curves("ACTUAL", (7, 7, 7), (67, 67, 67), (0, 0, 0), (200, 200, 200))
    assert roll.pulse(1.0) > 1500 > yaw.pulse(1.0)  # FLU: a turn to the left; the stick's right is a higher pulse
    assert roll.fastest == pytest.approx(math.radians(200))
    assert roll.rate(roll.pulse(9.9)) == roll.fastest
