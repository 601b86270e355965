"""The vehicle's time: a program lives in it, the cable sees what passes, and the vehicle waits for a flight that answers."""

import itertools
import math
import shutil
import socket
import subprocess
import threading
import types

import pytest

from spike_ctrl._files.errors import UsageError
from spike_ctrl_betaflight import flight_betaflight_argument, msp, options
from spike_ctrl_betaflight.cable import Cable
from spike_ctrl_betaflight.simulated_pilot import HIGH, LOW, SimulatedPilot
from spike_ctrl_betaflight.sitl_flight import Turns
from spike_ctrl_betaflight.vehicle_time import VehicleTime

LOOP = r"""
#include <stdio.h>
#include <time.h>
#include <unistd.h>
int main(void) {
    struct timespec first, t, nap = {0, 50000};
    for (int n = 0; ; n++) {
        nanosleep(&nap, NULL);
        clock_gettime(CLOCK_MONOTONIC, n ? &t : &first);
        if (n && write(1, &(double){t.tv_sec - first.tv_sec + 1e-9 * (t.tv_nsec - first.tv_nsec)}, 8) != 8) return 0;
    }
}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_a_program_lives_in_the_time_that_is_granted(tmp_path):
    (tmp_path / "loop.c").write_text(LOOP)
    subprocess.run(["cc", "-o", tmp_path / "loop", tmp_path / "loop.c"], check=True)
    time = VehicleTime(tmp_path)
    program = subprocess.Popen(
        [tmp_path / "loop"], env=time.environment, pass_fds=[time.inherited.fileno()], stdout=subprocess.PIPE
    )
    time.inherited.close()
    said = []
    reading = threading.Thread(target=lambda: said.append(program.stdout.read()))
    reading.start()
    for _ in range(3000):  # 3 s of its time
        time.grant(0.001)
    time.close()
    assert program.wait(5) == 0  # it ends with the simulation
    reading.join(5)
    times = memoryview(said[0]).cast("d")
    assert times[-1] == pytest.approx(3.0, abs=0.3)  # its first turns were in the computer's time
    late = list(times)[-20000:]
    assert max(b - a for a, b in itertools.pairwise(late)) < 60e-6  # never a jump, whatever the computer does


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_a_program_that_does_not_take_its_time_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("spike_ctrl_betaflight.vehicle_time.PATIENCE", 0.2)
    time = VehicleTime(tmp_path)
    with pytest.raises(UsageError, match="wanted one that is linked dynamically"):
        time.grant(0.001)
    time.close()


@pytest.fixture
def line():
    """A cable between a companion and a flight controller that are played here."""
    controller = socket.create_server(("127.0.0.1", 0))
    cable = Cable(controller.getsockname()[1], port=0)
    firmware = controller.accept()[0]
    companion = socket.create_connection(("127.0.0.1", cable.port))
    for end in (firmware, companion):
        end.settimeout(2.0)
    cable.pass_on(1.0)
    yield cable, companion, firmware
    for end in (companion, firmware, controller):
        end.close()
    cable.close()


def test_the_cable_passes_all_but_the_words_of_who_has_answered(line):
    cable, companion, firmware = line
    asked, word = msp.request(msp.RAW_IMU), msp.answered(12.34)
    sent = asked + msp.request(msp.RC) + word + msp.set_raw_rc([1500] * 4)
    for part in (sent[:14], sent[14:20], sent[20:]):  # a word in pieces
        companion.sendall(part)
        cable.pass_on(1.0)
    assert firmware.recv(4096) == sent.replace(word, b"")
    assert (cable.asked, cable.polled, cable.given, cable.answered) == (1, 1, 0, 12.34)
    told = msp.answer(msp.RAW_IMU, bytes(18))
    for part in (told[:3], told[3:]):
        firmware.sendall(part)
        cable.pass_on(1.0)
    assert companion.recv(3) + companion.recv(4096) == told and cable.given == 1


def test_a_cut_cable_swallows_all(line):
    cable, companion, firmware = line
    cable.cut = True
    companion.sendall(msp.request(msp.RAW_IMU))
    cable.pass_on(1.0)
    firmware.settimeout(0.1)
    with pytest.raises(TimeoutError):
        firmware.recv(10)
    cable.cut = False
    companion.sendall(b"$")
    companion.close()
    cable.pass_on(1.0)
    cable.pass_on(1.0)
    assert cable.answered == -math.inf  # the next flight begins anew


class PlayedCable:
    asked = given = 0
    answered = -math.inf


def test_the_vehicle_waits_for_a_flight_that_answers():
    turns, cable = Turns(), PlayedCable()
    turns.shown(1.0)
    assert not turns.holds(cable, 50.0)  # nobody answers: real time
    cable.answered = 1.0
    assert not turns.holds(cable, 50.0)
    turns.shown(1.01)
    assert turns.holds(cable, 50.001)  # the flight has not asked for the IMU
    cable.asked = 1
    assert turns.holds(cable, 50.002) and not turns.holds(cable, 50.003)  # the firmware needs time, its threads too
    assert turns.holds(cable, 50.0045) and not turns.holds(cable, 50.0047)  # and more, where the computer is busy
    cable.given = 1
    assert turns.holds(cable, 50.5)  # the flight computes
    cable.answered = 1.01
    assert not turns.holds(cable, 50.6)
    for number in range(3):  # what is lost is waited for in vain
        turns.shown(1.02 + 0.01 * number)
        assert turns.holds(cable, 51.0 + 2 * number) and not turns.holds(cable, 52.6 + 2 * number)
        assert not turns.holds(cable, 52.7 + 2 * number)
    turns.shown(1.05)
    assert not turns.holds(cable, 58.0) and turns.missed == 3  # nobody answers any more
    cable.answered = 1.05
    assert not turns.holds(cable, 58.0)
    turns.shown(1.06)
    assert turns.holds(cable, 58.1)  # and again
    turns.shown(1.07)
    cable.asked = 2  # late, for the pose before
    assert turns.holds(cable, 58.2) and not turns.holds(cable, 58.201) and turns.holds(cable, 58.202)


def test_a_request_that_the_firmware_has_dropped_is_given_up():
    turns, cable, wall = Turns(), PlayedCable(), 50.0
    cable.answered, cable.asked = 1.0, 1
    while cable.asked > cable.given:
        turns.holds(cable, wall)
        wall += 0.0002
        assert wall < 51.0
    assert wall > 50.4  # a busy computer's firmware has had some time
    assert not turns.holds(cable, wall)


def test_a_pilot_gives_the_vehicle_and_disarms_after_the_landing():
    pilot, up, still = SimulatedPilot(2.0, 4.0, hover=1480), (0.0, 0.0, 1.0), (0.0, 0.0, 0.0)
    ground = (0.0, 0.0, 0.0)

    def switches(now, position=ground, there=True, velocity=still):
        return pilot.channels(now, there, position, velocity)[4:]

    assert switches(0.0, there=False) == switches(100.0) == switches(101.9) == (LOW, LOW, LOW)
    assert switches(102.1) == (HIGH, LOW, LOW) and switches(104.1) == (HIGH, HIGH, LOW)
    assert switches(120.0) == (HIGH, HIGH, LOW)  # it stands and idles: only a vehicle that has flown has landed
    assert pilot.channels(121.0, True, up, still)[2] == 1480
    switches(122.0)
    assert switches(123.6) == (LOW, LOW, LOW) == switches(140.0)
    assert switches(141.2, there=False) == switches(150.0) == (LOW, LOW, LOW)
    assert switches(154.1) == (HIGH, HIGH, LOW)  # the next flight


def test_in_a_training_the_pilot_arms_again_after_a_landing_and_lets_the_vehicle_go_farther():
    pilot, still, ground = SimulatedPilot(2.0, 4.0, far=20.0, again=True), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
    for now, position in ((0.0, ground), (5.0, (9.0, 0.0, 5.0)), (8.0, (9.0, 0.0, 5.0)), (9.0, ground)):
        assert not pilot.taken
        pilot.channels(now, True, position, still)
    assert pilot.channels(10.6, True, ground, still)[4:] == (LOW, LOW, LOW)  # landed
    pilot.channels(10.7, True, ground, still)
    assert pilot.channels(12.8, True, ground, still)[4:] == (HIGH, LOW, LOW)
    assert pilot.channels(14.8, True, ground, still)[4:] == (HIGH, HIGH, LOW)


@pytest.mark.parametrize("there, position", [(False, (0.0, 0.0, 1.0)), (True, (5.0, 0.0, 1.0))])
def test_a_pilot_takes_over_where_the_flight_has_gone(there, position):
    pilot = SimulatedPilot(0.0, 0.0, hover=1480)
    pilot.channels(0.0, True, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    pilot.channels(4.0, True, (0.0, 0.0, 1.0), (0.0, 0.0, 0.0))
    before = pilot.channels(4.5, there, position, (0.0, 0.0, 0.0))
    after = pilot.channels(5.1, there, position, (0.0, 0.0, 0.0))
    assert before[5:] == (HIGH, LOW) and after[4:] == (HIGH, LOW, HIGH)
    assert 1300 < after[2] < 1480  # sinks


def test_a_flight_finds_the_simulation_by_its_folder(tmp_path):
    with pytest.raises(UsageError, match=r"no simulation in .*: start `spike-ctrl betaflight sitl`"):
        options.parse(f"sitl:{tmp_path}")
    (tmp_path / options.FILE).write_text("tcp:127.0.0.1:5770?pose=mocap/odometry&hover=0.472&battery=assumed\n")
    line, found = options.parse(f"sitl:{tmp_path}?idle=0.06")
    assert line == "tcp:127.0.0.1:5770" and (found.hover, found.idle, found.battery) == (0.472, 0.06, "assumed")
    assert options.is_sitl("sitl") and not options.is_sitl("tcp:127.0.0.1:5761")


@pytest.mark.parametrize(
    "given, found",
    [
        ({"link": "mavlink"}, {}),
        ({"link": "betaflight", "connection": "serial:/dev/ttyUSB0:921600"}, {"airframe": "any_rates"}),
        ({"link": "betaflight", "connection": "sitl"}, {"airframe": "any_rates", "paced": "true"}),
        ({"link": "betaflight", "connection": "sitl", "realtime": "true"}, {"airframe": "any_rates"}),
        ({"link": "betaflight", "connection": "sitl", "paced": "false"}, {"airframe": "any_rates"}),
        ({"link": "betaflight", "airframe": "racer"}, {}),  # whoever names one names both
    ],
)
def test_a_launch_beside_the_simulation_waits_for_nobodys_clock(given, found):
    context = types.SimpleNamespace(launch_configurations=dict(given))
    flight_betaflight_argument.prepare(context)
    added = dict(context.launch_configurations.items() - given.items())
    assert added.pop("model", None) == (flight_betaflight_argument.POLICY["model"] if "airframe" in found else None)
    assert added == found
