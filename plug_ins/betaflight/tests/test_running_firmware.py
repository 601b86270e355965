"""Against a running Betaflight, whose executable BETAFLIGHT_SITL names: MSP, rate curves, and the signs of our dynamics.

- every rate curve: the firmware's own set-point of a stick is ours
- a stick to the right, forward, and to the right for yaw turns the vehicle right, nose down, and right
- override reaches four channels, and no other
"""

import math
import struct
import threading
import time

import pytest

from spike_ctrl import airframe
from spike_ctrl_betaflight import betaflight_preflight, firmware, msp, rates
from spike_ctrl_betaflight.betaflight_companion import FRESH_API
from spike_ctrl_betaflight.firmware_simulation import FirmwareSimulation
from spike_ctrl_betaflight.msp_line import MspLine

pytestmark = pytest.mark.flight
SET_RATES = {"BETAFLIGHT": (100, 70, 20), "RACEFLIGHT": (37, 80, 50), "KISS": (90, 70, 30), "ACTUAL": (7, 67, 40),
             "QUICK": (100, 67, 30)}  # fmt: skip


class Bench:
    """The firmware with our dynamics behind it, in real time."""

    def __init__(self, sitl, folder, lines=()):
        assert firmware.configure(sitl, folder, [*firmware.SETTINGS, *lines]) == []
        self.firmware = firmware.Firmware(sitl, folder)
        self.line = MspLine(firmware.LINE)
        self.api = tuple(self.line.ask(msp.API_VERSION)[1:3])
        self.simulation = FirmwareSimulation(airframe.load("racer"), self.api >= FRESH_API)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.simulation.run, args=(self.ended,), daemon=True)
        self.thread.start()

    def sticks(self, roll=1500, pitch=1500, throttle=1000, yaw=1500, arm=1000, override=1000):
        self.simulation.channels = (roll, pitch, throttle, yaw, arm, override, 1000)

    def until(self, true, patience=30.0):
        end = time.monotonic() + patience
        while not true():
            assert time.monotonic() < end, "not within the time"
            time.sleep(0.05)

    def status(self):
        return msp.status(self.line.ask(msp.STATUS_EX))

    def close(self):
        self.ended.set()
        self.thread.join(2.0)
        self.simulation.close()
        self.line.close()
        self.firmware.close()


@pytest.fixture
def bench(sitl, tmp_path):
    made = []

    def make(*lines):
        made.append(Bench(sitl, tmp_path / "firmware", lines))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("kind", rates.KINDS)
def test_the_firmware_has_our_curves(bench, kind):
    rc_rate, rate, expo = SET_RATES[kind]
    shown = {"ACTUAL": 10, "RACEFLIGHT": 10, "QUICK": 1}.get(kind, 1)
    lines = [f"set rates_type = {kind}", "set debug_mode = ANGLERATE"]
    lines += [f"set {a}_{n} = {v}" for a in ("roll", "pitch", "yaw")
              for n, v in (("rc_rate", rc_rate), ("srate", rate), ("expo", expo))]  # fmt: skip
    on = bench(*lines)
    on.sticks()
    on.until(lambda: "RXLOSS" not in on.status().disabled)
    profile = msp.rate_profile(on.line.ask(msp.RC_TUNING))
    assert (rates.KINDS[profile.kind], profile.rc_rates[0], profile.rates[0], profile.expo[0]) == (kind, *SET_RATES[kind])
    dead = on.line.ask(msp.RC_DEADBAND)
    curves = rates.curves(kind, profile.rc_rates, profile.rates, profile.expo, profile.limits, dead[0], dead[1])
    assert shown
    for pulse in (1100, 1300, 1450, 1520, 1600, 1750, 1900, 2000):
        on.sticks(roll=pulse, pitch=pulse, yaw=pulse)
        wanted = [math.degrees(curve.rate(pulse)) for curve in curves]

        def same(wanted=wanted):
            found = struct.unpack("<3h", on.line.ask(msp.DEBUG)[:6])
            return found == pytest.approx(wanted, abs=1.01)

        on.until(same, 5.0)


def test_sticks_turn_the_vehicle_as_a_pilot_expects(bench):
    on = bench()
    on.sticks()
    on.until(lambda: not on.status().disabled)
    time.sleep(1.0)
    boxids = on.line.ask(msp.BOXIDS)
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
    sent, boxids = [1480, 1520, 1100, 1540], on.line.ask(msp.BOXIDS)
    before = msp.channels(on.line.ask(msp.RC))
    on.until(lambda: on.status().active(msp.OVERRIDE, boxids))

    def overridden():
        on.line.send(msp.set_raw_rc(sent))
        flown = msp.channels(on.line.ask(msp.RC))
        return betaflight_preflight.audit_override(sent, before, flown, tuple(on.line.ask(msp.RX_MAP)[:4])) == []

    on.until(overridden, 5.0)
    time.sleep(1.0)  # nothing is sent
    held = msp.channels(on.line.ask(msp.RC))[0] == sent[0]
    assert held is (on.api < FRESH_API)  # an old firmware flies the last frame for ever
