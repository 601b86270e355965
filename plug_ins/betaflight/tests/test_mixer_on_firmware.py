"""The mixer in front of a running Betaflight with a CRSF receiver, whose executable BETAFLIGHT_CRSF_SITL names.

Betaflight's SITL is built without serial receivers: docs/betaflight_mixer.md tells the two changes. In the vehicle's time.
"""

import math
import os
import pty
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from firmware_loop import ON, MixedLoop, by

from spike_ctrl.control import trajectory
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.policy import checkpoint
from spike_ctrl_betaflight import crsf, firmware, msp, sitl_packets
from spike_ctrl_betaflight.crsf_mixer import SILENT

pytestmark = pytest.mark.flight
VARIABLE = "BETAFLIGHT_CRSF_SITL"


@pytest.fixture
def on(tmp_path):
    """The companion's loop through the mixer."""
    if VARIABLE not in os.environ:
        pytest.skip(f"{VARIABLE} names no SITL with a CRSF receiver")
    loop = MixedLoop(firmware.executable(os.environ[VARIABLE], {}), tmp_path / "firmware", noise=1.0)
    yield loop
    loop.close()


def rise(on):
    """Take off by the guide to 1 m."""
    on.given()
    guide = by(GeometricGuide(on.flown), None)
    on.fly(6.0, guide(lambda t: trajectory.SetPoint((0.0, 0.0, min(1.0, 0.5 * t)), yaw=0.0)))
    assert on.mixer.mixed and abs(on.simulation.sensed.position[2] - 1.0) < 0.1, (
        on.mixer,
        on.simulation.sensed,
        on.status(),
    )


def test_any_rates_hovers_through_the_mixer_and_the_switch_gives_the_vehicle_back(on):
    rise(on)
    policy = checkpoint.load("models/any_rates.safetensors").ordered()
    rows = on.fly(8.0, by(None, policy)(lambda t: trajectory.SetPoint((0.0, 0.0, 1.0), yaw=0.0)))
    off = np.linalg.norm(rows[:, 1:4] - rows[:, 4:7], axis=1)[len(rows) // 2 :]
    found = math.sqrt(np.mean(off**2))
    print(f"\nhover through the mixer: {100 * found:.2f} cm root mean square, {100 * off.max():.2f} cm at most")
    assert found < 0.03
    on.sticks(throttle=1480, arm=ON, angle=ON)
    on.wait(0.3)
    for _ in range(30):
        on.step()
        on.command((1.0, 1.0, 0.0, 0.0))  # what the stack still says turns nothing
    x, y, _, _ = on.simulation.sensed.quaternion
    assert not on.mixer.mixed and math.degrees(2 * math.asin(math.hypot(x, y))) < 10


def test_a_silent_companion_gives_the_vehicle_back_until_the_switch_is_used_again(on):
    rise(on)
    on.sticks(throttle=1480, roll=1700, arm=ON, override=ON)  # a stick that would turn it
    on.fly(0.2, lambda t, s: ((0.0, 0.0, 0.0, 0.0), trajectory.SetPoint((0.0, 0.0, 1.0), yaw=0.0)))
    assert on.mixer.mixed and abs(on.simulation.sensed.rates[0]) < 0.5
    on.speaks, begun = False, on.simulation.now
    while on.mixer.mixed:
        on.wait(0.002)
    taken = on.simulation.now - begun
    print(f"\nthe pilot's sticks after {1e3 * taken:.0f} ms of silence")
    assert taken < SILENT + 0.02
    on.until(lambda: abs(on.simulation.sensed.rates[0]) > 0.5, 0.5)  # the stick turns it
    on.speaks = True
    on.fly(0.2, lambda t, s: ((0.0, 0.0, 0.0, 0.0), trajectory.SetPoint((0.0, 0.0, 1.0), yaw=0.0)))
    assert not on.mixer.mixed


def test_a_silent_receiver_is_betaflights_failsafe_and_arming_is_the_pilots(on):
    on.given()
    on.heard = False
    on.wait(2.0)
    assert "RXLOSS" in on.status().disabled or "FAILSAFE" in on.status().disabled
    on.heard = True
    on.sticks(override=ON)
    on.until(lambda: not on.status().active(msp.ARM, on.ask(msp.BOXIDS)))


def test_the_preflight_tries_the_running_mixer_once_the_pilot_switches_off_and_on(tmp_path):
    if VARIABLE not in os.environ:
        pytest.skip(f"{VARIABLE} names no SITL with a CRSF receiver")
    sitl, verb = firmware.executable(os.environ[VARIABLE], {}), [sys.executable, "-m", "spike_ctrl.cli.main", "betaflight"]
    assert firmware.configure(sitl, tmp_path / "firmware", [*firmware.SETTINGS, *MixedLoop.LINES]) == []
    (air, receiver), override, stop = pty.openpty(), [1811], []

    def pilot():
        while not stop:
            os.write(air, crsf.packed([992, 992, 172, 992, 172, override[0], *[172] * 10]).data)
            time.sleep(1 / 150)

    with firmware.Firmware(sitl, tmp_path / "firmware"):
        lines = ["--receiver", f"serial:{os.ttyname(receiver)}", "--controller", f"tcp:127.0.0.1:{sitl_packets.MSP + 1}"]
        mixer = subprocess.Popen([*verb, "mixer", *lines])
        flying = threading.Thread(target=pilot)
        flying.start()
        try:
            time.sleep(8.0)  # Betaflight's BOOTGRACE
            asked = ["--connection", f"tcp:127.0.0.1:{sitl_packets.MSP}?mixer=127.0.0.1:7788", "--airframe", "racer"]
            check = subprocess.Popen([*verb, "preflight", *asked, "--seconds", "1"], stdout=subprocess.PIPE, text=True)
            told = []
            for line in check.stdout:
                told.append(line)
                if line.startswith("mixer: switch MSP OVERRIDE off and on"):
                    override[0] = 172
                    time.sleep(1.0)
                    override[0] = 1811
            assert check.wait() == 0 and told[-1] == "ready to fly, once the position is there\n", told
        finally:
            stop.append(1)
            flying.join()
            mixer.terminate()
            mixer.wait()
            os.close(air)
            os.close(receiver)
