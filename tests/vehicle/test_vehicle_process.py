"""`spike-ctrl vehicle` as a process on UDP, flown by a client of pymavlink alone.

- it starts, sends first, flies the whole sequence, and ends in order with a summary
- a signal in the air lands it first; a second signal ends it at once
- the client dies in flight: the vehicle lands by itself; at five times the speed the time-out is that of its own clock
- a signed link takes no unsigned packet; a wrong command line is refused in one line
"""

import hashlib
import select
import signal
import socket
import subprocess
import time

import numpy as np
import pytest
from output import executable
from pymavlink.dialects.v20 import development as mavlink
from refusal import refused
from vehicle_fixtures import Process

from spike_ctrl.cli.main import main

SPIKE_CTRL = executable("spike-ctrl")
OFFBOARD, LOITER, RTL, LAND = 0x00060000, 0x03040000, 0x05040000, 0x06040000
PREARM = 0x10000000
QUIET = ("--noise", "0")


def ready(vehicle):
    status = vehicle.last("SYS_STATUS")
    return status is not None and status.onboard_control_sensors_health & PREARM


def armed(vehicle):
    heartbeat = vehicle.last("HEARTBEAT")
    return heartbeat is not None and bool(heartbeat.base_mode & 128)


def results(vehicle, command):
    return [ack.result for ack in vehicle.all("COMMAND_ACK") if ack.command == command]


def take_off(vehicle, height=1.5):
    """Fly to the height by position set-points and stay there."""
    place = vehicle.position_target(0, 0, -height)
    vehicle.fly(lambda: ready(vehicle), 20, place)
    vehicle.tell(vehicle.mode_request(OFFBOARD))
    vehicle.fly(lambda: len(results(vehicle, 176)) == 2, 5, place)
    vehicle.tell(vehicle.arm())
    vehicle.fly(lambda: results(vehicle, 400), 5, place)
    assert results(vehicle, 176) == [0, 0] and results(vehicle, 400) == [0]
    vehicle.fly(lambda: abs(vehicle.last("LOCAL_POSITION_NED").z + height) < 0.1, 20, place)


def test_the_preflight_writes_what_bars_a_flight_to_the_autopilot(start_vehicle, capsys):
    vehicle = start_vehicle(*QUIET, "--instance", "2")
    port = vehicle.socket.getsockname()[1]
    vehicle.socket.close()
    arguments = [
        "preflight",
        "--connection",
        f"udpin:127.0.0.1:{port}",
        "--no-remote-control",
        "--system",
        "3",
        "--seconds",
        "5",
    ]
    barred = subprocess.run([SPIKE_CTRL, *arguments], capture_output=True, text=True, timeout=120)
    assert barred.returncode == 1 and "unmet: COM_OF_LOSS_T: found 1, wanted at most 0.2 s" in barred.stdout
    main([*arguments, "--set"])
    told = capsys.readouterr().out
    assert "set COM_OF_LOSS_T: 1 -> 0.2\n" in told and "set COM_OBL_RC_ACT: 0 -> 4\n" in told
    assert not [line for line in told.splitlines() if line.startswith("unmet: ") and "; set " in line], told


def test_the_whole_flight_and_an_orderly_end(start_vehicle):
    vehicle = start_vehicle(*QUIET, "--speed", "4")
    assert vehicle.heard[0][1].get_srcSystem() == 1
    take_off(vehicle)
    vehicle.tell(vehicle.mode_request(LAND))
    vehicle.fly(lambda: armed(vehicle) and vehicle.last("HEARTBEAT").custom_mode == LAND, 5)
    vehicle.fly(lambda: not armed(vehicle), 20)
    assert vehicle.last("EXTENDED_SYS_STATE").landed_state == 1
    assert vehicle.stop() == 0
    assert vehicle.said(r"armed, OFFBOARD") and vehicle.said(r"Disarmed by landing")
    assert vehicle.said(r"hardest touchdown 0\.\d+ m/s$")


@pytest.mark.parametrize("signals", [(signal.SIGINT,), (signal.SIGINT, signal.SIGTERM)], ids=["one", "two"])
def test_a_signal_in_the_air_lands_it_first_and_a_second_one_ends_it_at_once(start_vehicle, signals):
    options = ("--set", "COM_OF_LOSS_T=0.2", "--set", "COM_OBL_RC_ACT=4", "--until-disarmed")
    vehicle = start_vehicle(*QUIET, "--speed", "4", *options)
    take_off(vehicle, 0.6)
    vehicle.process.send_signal(signals[0])
    sent = len(vehicle.heard)
    vehicle.fly(lambda: len(vehicle.heard) > sent + 50, 5)  # it flies on
    for number in signals[1:]:
        vehicle.process.send_signal(number)
    assert vehicle.process.wait(60) == 0
    vehicle.stop()
    landed = len(signals) == 1
    assert vehicle.said("Disarmed by landing") is landed
    assert vehicle.said(r"up 0\.00 m; .*hardest touchdown 0\.[0-4]\d m/s$") is landed, vehicle.lines[-1]


@pytest.mark.parametrize("speed", [1, 5])
def test_when_the_client_falls_silent_the_vehicle_lands_after_its_time_out(start_vehicle, speed):
    vehicle = start_vehicle(*QUIET, "--speed", str(speed), "--set", "COM_OF_LOSS_T=0.2", "--set", "COM_OBL_RC_ACT=4")
    take_off(vehicle, 0.6)
    vehicle.tell(vehicle.interval(mavlink.MAVLINK_MSG_ID_CURRENT_MODE, 250))
    vehicle.tell(vehicle.position_target(0, 0, -0.6))
    last = time.monotonic()
    vehicle.fly(lambda: vehicle.last("CURRENT_MODE") and vehicle.last("CURRENT_MODE").custom_mode == LAND, 5)
    assert 0.2 < time.monotonic() - last < 0.9  # the default would take more than 1 s; a busy machine takes its time
    if speed == 1:
        return  # the landing would only take longer
    vehicle.fly(lambda: not armed(vehicle), 30)
    vehicle.stop()
    assert vehicle.said(r"hardest touchdown 0\.[0-4]\d m/s$")


def test_the_truth_is_written_and_a_heavier_vehicle_needs_more_thrust(start_vehicle, tmp_path):
    vehicle = start_vehicle(*QUIET, "--speed", "4", "--mass", "1.2", "--truth", str(tmp_path / "a" / "truth.csv"))
    take_off(vehicle, 1.0)
    vehicle.tell(vehicle.interval(mavlink.MAVLINK_MSG_ID_ATTITUDE_TARGET, 50))
    vehicle.fly(lambda: len(vehicle.all("ATTITUDE_TARGET")) > 100, 10, vehicle.position_target(0, 0, -1.0))
    thrust = np.mean([m.thrust for m in vehicle.all("ATTITUDE_TARGET")[-60:]])
    assert thrust == pytest.approx(1.2 * 9.81 / 20, rel=0.05)
    told = vehicle.last("LOCAL_POSITION_NED")
    assert vehicle.stop() == 0
    rows = np.loadtxt(tmp_path / "a" / "truth.csv", delimiter=",", skiprows=1)
    assert (np.diff(rows[:, 0]) > 0).all() and rows[-1, 0] > 1e-3 * told.time_boot_ms - 0.1
    row = rows[np.abs(rows[:, 0] - 1e-3 * told.time_boot_ms).argmin()]
    np.testing.assert_allclose(row[1:4], (told.y, told.x, -told.z), atol=0.03)


def test_a_signed_vehicle_follows_only_signed_packets(start_vehicle, tmp_path):
    key = hashlib.sha256(b"test").digest()
    (tmp_path / "key").write_bytes(key)
    (tmp_path / "key").chmod(0o600)
    vehicle = start_vehicle("--signing-key", str(tmp_path / "key"))
    vehicle.fly(lambda: ready(vehicle), 20)
    vehicle.tell(vehicle.arm())  # unsigned
    vehicle.codec.signing.secret_key = bytes(32)
    vehicle.codec.signing.sign_outgoing = True
    vehicle.codec.signing.timestamp = int((time.time() - 1420070400) * 1e5)
    vehicle.codec.signing.secret_key, wrong = key, bytes(32)
    signed = vehicle.command(mavlink.MAV_CMD_REQUEST_MESSAGE, 148)
    vehicle.codec.signing.secret_key = wrong
    vehicle.tell(vehicle.arm())  # wrongly signed
    vehicle.codec.signing.secret_key = key
    vehicle.tell(signed)
    vehicle.fly(lambda: vehicle.last("AUTOPILOT_VERSION"), 5)
    assert vehicle.last("AUTOPILOT_VERSION").get_signed()
    assert not results(vehicle, 400) and not armed(vehicle)
    vehicle.tell(vehicle.arm())
    vehicle.fly(lambda: results(vehicle, 400), 5)
    assert results(vehicle, 400) == [0]


@pytest.fixture(scope="module")
def running():
    """A vehicle that nobody arms. The tests that share it stand together: it flies on between them."""
    vehicle = Process([])
    vehicle.fly(lambda: vehicle.heard or vehicle.process.poll() is not None, 60)
    yield vehicle
    vehicle.close()


@pytest.fixture
def standing(running):
    """It, when all that it sent before is read."""
    while select.select([running.socket], [], [], 0)[0]:
        running.receive()
    return running


def test_odometry_at_100_hz_comes_in_time(standing):
    vehicle = standing
    vehicle.tell(vehicle.interval(mavlink.MAVLINK_MSG_ID_ODOMETRY, 100))
    vehicle.fly(lambda: results(vehicle, 511), 5)
    begin = len(vehicle.all("ODOMETRY"))
    vehicle.fly(lambda: len(vehicle.all("ODOMETRY")) >= begin + 300, 10)
    odometry = vehicle.all("ODOMETRY")[begin:]
    arrived = vehicle.times("ODOMETRY")[begin:]
    gaps = np.diff([message.time_usec for message in odometry]) * 1e-3
    assert set(np.round(gaps).astype(int)) <= {8, 12, 16} and gaps.mean() == pytest.approx(10, abs=0.2)
    flown = (odometry[-1].time_usec - odometry[0].time_usec) * 1e-6
    assert arrived[-1] - arrived[0] == pytest.approx(flown, rel=0.3)  # its second is one of the clock


def test_timesync_makes_a_round_trip(standing):
    vehicle = standing
    trips = []
    for number in range(1, 21):
        sent = time.monotonic()
        vehicle.tell(mavlink.MAVLink_timesync_message(0, number))
        vehicle.fly(lambda number=number: any(m.ts1 == number for m in vehicle.all("TIMESYNC")), 5)
        trips.append(vehicle.times("TIMESYNC")[-1] - sent)
    assert np.median(trips) < 0.02


def test_a_vehicle_that_was_stopped_does_not_catch_up(standing):
    vehicle = standing
    vehicle.fly(lambda: len(vehicle.all("ATTITUDE")) > 20, 10)
    vehicle.process.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    vehicle.fly(lambda: time.monotonic() - stopped > 1.0, 5)
    before = vehicle.last("ATTITUDE").time_boot_ms
    resumed = time.monotonic()
    vehicle.process.send_signal(signal.SIGCONT)
    vehicle.fly(lambda: vehicle.said(r"held up for \d\.\d\d s") and time.monotonic() - resumed > 0.4, 5)
    flown = (vehicle.last("ATTITUDE").time_boot_ms - before) * 1e-3
    assert 0 < flown < time.monotonic() - resumed + 0.15


def test_rubbish_does_not_end_it(standing):
    vehicle = standing
    generator = np.random.default_rng(0)
    for _ in range(300):
        vehicle.socket.sendto(generator.bytes(int(generator.integers(0, 300))), vehicle.remote)
    request = vehicle.command(mavlink.MAV_CMD_REQUEST_MESSAGE, 148)  # repeated: the rubbish may have filled the socket
    vehicle.fly(lambda: vehicle.last("AUTOPILOT_VERSION"), 5, request, every=0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "COM_OF_LOST=1"], "parameter COM_OF_LOST: unknown; did you mean 'COM_OF_LOSS_T'?"),
        (["--set", "COM_OBL_RC_ACT=1.5"], "parameter COM_OBL_RC_ACT: found 1.5, wanted an integer"),
        (["--set", "COM_OF_LOSS_T"], "parameter 'COM_OF_LOSS_T': found no =, wanted NAME=VALUE, such as COM_OF_LOSS_T=0.2"),
        (["--speed", "0"], "--speed: found 0, wanted 0.1 to 20"),
        (["--mass", "11"], "--mass: found 11, wanted 0.1 to 10"),
        (["--truth", "/dev/null/x/y"], "--truth /dev/null/x/y: cannot be written (Not a directory)"),
        (["--connection", "14540"], "--connection: found '14540', wanted HOST:PORT with a port of 1 to 65535"),
        (["--connection", "127.0.0.1:0"], "--connection: found '127.0.0.1:0', wanted HOST:PORT with a port of 1 to 65535"),
        (["--local", "x:99999"], "--local: found 'x:99999', wanted HOST:PORT with a port of 0 to 65535"),
        (
            ["--local", "127.0.0.1:0", "--station", "foo"],
            "--station: found 'foo', wanted HOST:PORT with a port of 1 to 65535",
        ),
        (["--local", "192.0.2.1:14580"], "address 192.0.2.1:14580: cannot be bound (Cannot assign requested address)"),
    ],
)
def test_a_wrong_command_line_is_refused_in_one_line(arguments, message, capsys):
    assert refused(capsys, "vehicle", *arguments) == message


def test_the_truth_of_a_vehicle_that_has_the_ports_is_not_emptied_by_a_second_one(tmp_path, capsys):
    (truth := tmp_path / "truth.csv").write_text("of the first")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:
        first.bind(("127.0.0.1", 0))
        here = f"127.0.0.1:{first.getsockname()[1]}"
        assert "Address already in use" in refused(capsys, "vehicle", "--local", here, "--truth", str(truth))
    assert truth.read_text() == "of the first"
