"""Against a running Betaflight, whose executable BETAFLIGHT_SITL names, in the vehicle's time and without ROS.

- every rate curve: the firmware's own set-point of a stick is ours
- a stick to the right, forward, and to the right for yaw turns the vehicle right, nose down, and right
- override reaches four channels, and no other
- the firmware's time is the vehicle's, however long this computer takes
- any_rates, untrained for the vehicle, hovers and flies a figure-eight by the companion
- a pilot who takes over has the vehicle; a silent companion loses it to the sticks, or to its last command for ever
"""

import math
import struct
import time

import numpy as np
import pytest
from firmware_loop import ON, Bench, CompanionLoop, by

from spike_ctrl.control import trajectory
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.flight.autopilot import Mode
from spike_ctrl.policy import checkpoint
from spike_ctrl_betaflight import betaflight_preflight, msp, rates
from spike_ctrl_betaflight.betaflight_companion import FRESH_API

pytestmark = pytest.mark.flight
SET_RATES = {"BETAFLIGHT": (100, 70, 20), "RACEFLIGHT": (37, 80, 50), "KISS": (90, 70, 30), "ACTUAL": (7, 67, 40),
             "QUICK": (100, 67, 30)}  # fmt: skip
RISE = 6.0  # s by the guide


@pytest.fixture
def bench(sitl, tmp_path):
    made = []

    def make(*lines, kind=Bench, **options):
        made.append(kind(sitl, tmp_path / "firmware", lines=lines, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("kind", rates.KINDS)
def test_the_firmware_has_our_curves(bench, kind):
    rc_rate, rate, expo = SET_RATES[kind]
    lines = [f"set rates_type = {kind}", "set debug_mode = ANGLERATE"]
    lines += [f"set {a}_{n} = {v}" for a in ("roll", "pitch", "yaw")
              for n, v in (("rc_rate", rc_rate), ("srate", rate), ("expo", expo))]  # fmt: skip
    on = bench(*lines)
    on.sticks()
    on.until(lambda: "RXLOSS" not in on.status().disabled)
    profile = msp.rate_profile(on.ask(msp.RC_TUNING))
    assert (rates.KINDS[profile.kind], profile.rc_rates[0], profile.rates[0], profile.expo[0]) == (kind, *SET_RATES[kind])
    dead = on.ask(msp.RC_DEADBAND)
    curves = rates.curves(kind, profile.rc_rates, profile.rates, profile.expo, profile.limits, dead[0], dead[1])
    for pulse in (1100, 1300, 1450, 1520, 1600, 1750, 1900, 2000):
        on.sticks(roll=pulse, pitch=pulse, yaw=pulse)
        wanted = [math.degrees(curve.rate(pulse)) for curve in curves]

        def same(wanted=wanted):
            found = struct.unpack("<3h", on.ask(msp.DEBUG)[:6])
            return found == pytest.approx(wanted, abs=1.01)

        on.until(same, 5.0)


def test_sticks_turn_the_vehicle_as_a_pilot_expects(bench):
    on = bench()
    on.sticks()
    on.until(lambda: not on.status().disabled)
    on.wait(1.0)
    boxids = on.ask(msp.BOXIDS)
    on.sticks(arm=2000)
    on.until(lambda: on.status().active(msp.ARM, boxids))
    on.sticks(throttle=1750, arm=2000)
    on.until(lambda: on.simulation.sensed.position[2] > 0.5)
    for axis, stick, sign in ((0, "roll", 1), (1, "pitch", 1), (2, "yaw", -1)):
        before = on.simulation.sensed.rates[axis]
        on.sticks(throttle=1650, arm=2000, **{stick: 1650})
        on.until(lambda: sign * (on.simulation.sensed.rates[axis] - before) > 0.4, 3.0)  # noqa: B023
        on.sticks(throttle=1650, arm=2000)


def test_override_reaches_four_channels(bench):
    on = bench()
    on.sticks(override=2000)
    on.until(lambda: "RXLOSS" not in on.status().disabled)
    sent, boxids = [1480, 1520, 1100, 1540], on.ask(msp.BOXIDS)
    before = msp.channels(on.ask(msp.RC))
    on.until(lambda: on.status().active(msp.OVERRIDE, boxids))

    def overridden():
        on.line.send(msp.set_raw_rc(sent))
        flown = msp.channels(on.ask(msp.RC))
        return betaflight_preflight.audit_override(sent, before, flown, tuple(on.ask(msp.RX_MAP)[:4])) == []

    on.until(overridden, 5.0)
    on.wait(1.0)  # nothing is sent
    held = msp.channels(on.ask(msp.RC))[0] == sent[0]
    assert held is (on.api < FRESH_API)  # an old firmware flies the last frame for ever


def test_the_firmwares_time_is_the_vehicles(bench):
    on = bench("set failsafe_delay = 10")
    on.sticks()
    on.until(lambda: "RXLOSS" not in on.status().disabled)
    time.sleep(2.0)  # longer than a receiver may be silent, by this computer's clock
    assert "RXLOSS" not in on.status().disabled
    on.simulation.linked = False
    on.wait(2.0)
    assert "RXLOSS" in on.status().disabled


def rise(on):
    """Take off by the guide to 1 m."""
    on.given()
    guide = by(GeometricGuide(on.flown), None)
    on.fly(RISE, guide(lambda t: trajectory.SetPoint((0.0, 0.0, min(1.0, 0.5 * t)), yaw=0.0)))


def off(rows):
    """Distance (T,) from the set-point, m."""
    return np.linalg.norm(rows[:, 1:4] - rows[:, 4:7], axis=1)


@pytest.mark.parametrize("craft", ["racer", "any_rates"])
def test_any_rates_flies(bench, craft):
    on = bench(kind=CompanionLoop, craft=craft, noise=1.0)
    policy = checkpoint.load("models/any_rates.safetensors").ordered()
    rise(on)
    hover = on.fly(8.0, by(None, policy)(lambda t: trajectory.SetPoint((0.0, 0.0, 1.0), yaw=0.0)))
    path = trajectory.Trajectory("figure8", (0.0, 0.0, 1.0), 0.0)
    eight = on.fly(16.0, by(None, policy)(lambda t: path.at(t)._replace(velocity=path.at(t + trajectory.PREVIEW).velocity)))
    root = [math.sqrt(np.mean(off(rows)[len(rows) // 2 :] ** 2)) for rows in (hover, eight)]
    assert root[0] < 0.03 and root[1] < 0.06, root


def test_the_pilot_takes_over(bench):
    on = bench(kind=CompanionLoop)
    rise(on)
    on.sticks(throttle=1480, arm=ON, angle=ON)
    on.wait(0.3)
    for _ in range(30):
        on.step()
        on.command((1.0, 1.0, 0.0, 0.0))  # what the stack still says turns nothing
    assert on.companion.mode is Mode.OTHER
    x, y, _, w = on.simulation.sensed.quaternion
    assert math.degrees(2 * math.asin(math.hypot(x, y))) < 10 and abs(w) > 0.9


def test_a_silent_companion(bench):
    on = bench(kind=CompanionLoop)
    rise(on)
    on.sticks(throttle=1480, roll=1700, arm=ON, override=ON)  # a stick that would turn it
    on.wait(0.2)
    early = abs(on.simulation.sensed.rates[0])
    on.wait(0.5)
    assert early < 0.5
    assert (abs(on.simulation.sensed.rates[0]) > 0.5) is (on.api >= FRESH_API)
