"""PX4's simulator interface, tested by a client that answers as PX4 does.

- each HIL_SENSOR waits for the answer to the one before, once PX4 has begun to answer; it comes after all else of its tick
- bits say which sensors are new; rates are those that PX4 wants; the truth comes as often as PX4 asks for it
- motors turn in PX4's order; a client with a controller of its own takes off and holds its height
- who stops, closes, is not built for lockstep or sends NaN is told in one line
"""

import itertools
import math
import os
import re
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pymavlink.dialects.v20 import development as mavlink
from refusal import refused

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.simulated_px4.vehicle_settings import parse_failure
from spike_ctrl_sitl import px4_environment
from spike_ctrl_sitl.px4_hil.simulation import Simulation, SimulationError

SPIKE_CTRL = Path(sys.executable).parent / "spike-ctrl"
IMU, SLOW = 0b111111, 0b1101111000000  # the masks of PX4's simulator_mavlink: accelerometer, gyro; magnetometer, barometer
ARMED = mavlink.MAV_MODE_FLAG_SAFETY_ARMED | 1


class Firmware:
    """Packs and reads as PX4's simulator_mavlink does; `heard` holds all messages."""

    def __init__(self):
        self.writer, self.reader = mavlink.MAVLink(None, 1, 1), mavlink.MAVLink(None)
        self.heard = []
        self.start = None  # us, of the first sample: there its clock begins

    def greet(self) -> bytes:
        """PX4's first packets: a heartbeat, and a request for the true state every 5 ms."""
        heartbeat = mavlink.MAVLink_heartbeat_message(0, 12, 0, 0, 0, 3)
        interval, truth = mavlink.MAV_CMD_SET_MESSAGE_INTERVAL, mavlink.MAVLINK_MSG_ID_HIL_STATE_QUATERNION
        command = mavlink.MAVLink_command_long_message(0, 0, interval, 0, truth, 5e3, 0, 0, 0, 0, 0)
        return heartbeat.pack(self.writer) + command.pack(self.writer)

    def answer(self, sample, motors) -> bytes:
        return self.controls(sample.time_usec - self.start, motors)

    def controls(self, time: int, motors=(0, 0, 0, 0), flags: int = 1, mode: int = ARMED) -> bytes:
        return mavlink.MAVLink_hil_actuator_controls_message(time, [*motors, *[0] * 12], mode, flags).pack(self.writer)

    def hear(self, data: bytes):
        found = self.reader.parse_buffer(data) or []
        self.heard += found
        sensors = (m.time_usec for m in found if m.get_type() == "HIL_SENSOR")
        self.start = next(sensors, None) if self.start is None else self.start
        return found

    def last(self, name: str):
        return next(m for m in reversed(self.heard) if m.get_type() == name)


def flown(firmware: Firmware, simulation: Simulation, ticks: int, motors) -> None:
    """Some ticks, each answered with the same motors."""
    for _ in range(ticks):
        firmware.hear(simulation.advance())
        simulation.receive(firmware.answer(firmware.last("HIL_SENSOR"), motors))


@pytest.fixture
def craft():
    return airframe.load("sih_quadx")


@pytest.mark.parametrize("rate", [250, 500])
def test_every_sensor_comes_at_its_rate_and_names_its_new_fields(craft, rate):
    firmware, simulation = Firmware(), Simulation(craft, rate, noise=0)
    simulation.receive(firmware.greet())
    for _ in range(2 * rate):
        assert firmware.hear(simulation.advance())[-1].get_type() == "HIL_SENSOR"  # which moves PX4's clock: nothing follows
    of = {name: [m for m in firmware.heard if m.get_type() == name] for name in ("HIL_SENSOR", "HIL_GPS")}
    stamps = [m.time_usec for m in of["HIL_SENSOR"]]
    assert {b - a for a, b in itertools.pairwise(stamps)} == {1_000_000 // rate}
    assert all(m.fields_updated & IMU == IMU and m.id == 0 for m in of["HIL_SENSOR"])
    assert {m.fields_updated & ~IMU for m in of["HIL_SENSOR"]} == {0, SLOW}
    slow = sum(m.fields_updated & SLOW == SLOW for m in of["HIL_SENSOR"])
    assert 90 <= slow <= 101 and 10 <= len(of["HIL_GPS"]) <= 20
    truths = sum(m.get_type() == "HIL_STATE_QUATERNION" for m in firmware.heard)
    assert truths == pytest.approx(400, abs=2)  # asked for at 200 Hz


def test_all_numbers_arrive_in_the_units_of_the_messages(craft):
    firmware, simulation = Firmware(), Simulation(craft, noise=0)
    firmware.hear(simulation.advance())
    sensor, gps, truth = (firmware.last(name) for name in ("HIL_SENSOR", "HIL_GPS", "HIL_STATE_QUATERNION"))
    assert (sensor.xacc, sensor.yacc, sensor.zacc) == pytest.approx((0, 0, -9.81), abs=1e-4)
    assert sensor.abs_pressure == pytest.approx(956, abs=1) and sensor.pressure_alt == pytest.approx(489.4, abs=0.1)
    assert (gps.lat, gps.lon, gps.alt) == (473977420, 85455940, 489400) and gps.fix_type == 3
    assert (gps.vn, gps.ve, gps.vd) == (0, 0, 0)
    assert list(truth.attitude_quaternion) == pytest.approx([1, 0, 0, 0], abs=1e-6)  # level, nose north
    assert truth.zacc == pytest.approx(-1000, abs=1)


@pytest.mark.parametrize(
    ("faster", "axis", "sign"),
    [((0, 3), "xgyro", -1), ((1, 3), "ygyro", -1), ((0, 1), "zgyro", 1)],
    ids=["right ones: rolls left", "back ones: nose down", "those that turn counter-clockwise: nose right"],
)
def test_motors_turn_in_the_order_of_px4(craft, faster, axis, sign):
    firmware, simulation = Firmware(), Simulation(craft, noise=0)
    flown(firmware, simulation, 120, (0.7,) * 4)
    flown(firmware, simulation, 25, [0.75 if motor in faster else 0.65 for motor in range(4)])
    rates = {name: getattr(firmware.last("HIL_SENSOR"), name) for name in ("xgyro", "ygyro", "zgyro")}
    assert sign * rates.pop(axis) > 0.02
    assert list(rates.values()) == pytest.approx([0, 0], abs=1e-3)


def test_the_parameters_for_px4_describe_the_same_vehicle(craft):
    found = px4_environment.parameters(craft, 250)
    assert (found["CA_ROTOR1_PX"], found["CA_ROTOR1_PY"], found["CA_ROTOR1_KM"]) == (-0.2, -0.2, 0.02)  # back left, CCW
    assert (found["CA_ROTOR3_PX"], found["CA_ROTOR3_PY"], found["CA_ROTOR3_KM"]) == (-0.2, 0.2, -0.02)  # back right, CW
    assert found["MPC_THR_HOVER"] == pytest.approx(0.4905) and found["THR_MDL_FAC"] == 0
    assert px4_environment.parameters(airframe.load("crazyflie"), 500)["IMU_GYRO_RATEMAX"] == 800


def test_motors_of_a_disarmed_vehicle_stand_whatever_the_controls(craft):
    firmware, simulation = Firmware(), Simulation(craft, noise=0)
    simulation.advance()
    simulation.receive(firmware.controls(4000, (1, 1, 1, 1), mode=1))
    assert simulation.commands == (0, 0, 0, 0) and simulation.begun and not simulation.armed


def test_only_the_answer_to_the_newest_sample_ends_the_waiting(craft):
    firmware, simulation = Firmware(), Simulation(craft, noise=0)
    samples = [firmware.hear(simulation.advance())[-1] for _ in range(3)]
    assert not simulation.waiting  # PX4's controllers do not run yet
    for sample, waiting in ((0, True), (1, True), (1, True), (2, False)):
        simulation.receive(firmware.answer(samples[sample], (0, 0, 0, 0)))
        assert simulation.waiting is waiting
    simulation.advance()
    assert simulation.waiting


def test_a_rotor_that_fails_in_the_air_lets_the_vehicle_fall_to_its_corner_and_one_on_the_ground_waits(craft):
    firmware = Firmware()
    simulation = Simulation(craft, noise=0, failure=parse_failure("rotor:2:100:0.4"))
    flown(firmware, simulation, 200, (0.0,) * 4)
    assert not simulation.failed  # it stands
    flown(firmware, simulation, 300, (0.7,) * 4)
    lifted, height = simulation._lifted_at, simulation.body.motion.position[2]
    assert simulation.failed and height > 0.1 and lifted > 0.8
    rates = firmware.last("HIL_SENSOR")
    assert rates.xgyro > 0.5 and rates.ygyro > 0.5  # FRD: the second rotor is back-right: rolls right, nose up
    assert rates.zgyro * craft.rotor_spin[1] > 0  # FRD: without its drag torque the body turns with that rotor


def test_equal_seeds_give_equal_bytes(craft):
    one, two, other = Simulation(craft, seed=3), Simulation(craft, seed=3), Simulation(craft, seed=4)
    bytes_of = [b"".join(s.advance() for _ in range(20)) for s in (one, two, other)]
    assert bytes_of[0] == bytes_of[1] != bytes_of[2]


def test_a_px4_without_lockstep_and_a_nan_are_refused(craft):
    firmware = Firmware()
    with pytest.raises(SimulationError, match=r"flags: found 0, wanted 1: a PX4 built for lockstep"):
        Simulation(craft).receive(firmware.controls(1, flags=0))
    with pytest.raises(SimulationError, match=r"controls\[2\]: found nan, wanted 0 to 1"):
        Simulation(craft).receive(firmware.controls(1, (0.5, 0.5, math.nan, 0.5)))


# --- the process ----------------------------------------------------------------------------------------------------


class Flown(Firmware):
    """`spike-ctrl vehicle --px4-hil` and a client in place of PX4, which flies by gyro and pressure alone."""

    def __init__(self, *arguments):
        super().__init__()
        command = [SPIKE_CTRL, "vehicle", "--px4-hil", "tcp:0", "--speed", "0", "--noise", "0", *arguments]
        env = os.environ | {"PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
        for line in self.process.stdout:
            if place := re.search(r"waiting for PX4 at tcp ([\d.]+):(\d+)", line):
                break
        self.link = socket.create_connection((place[1], int(place[2])), 10)
        self.link.settimeout(20)
        self.link.sendall(self.greet())
        self.samples, self.roll, self.pitch = [], 0.0, 0.0
        self.ground = self.height = None
        self.climbing = 0.0

    def sample(self):
        """The next HIL_SENSOR."""
        while not self.samples:
            self.samples += [m for m in self.hear(self.link.recv(4096)) if m.get_type() == "HIL_SENSOR"]
        return self.samples.pop(0)

    def steer(self, sensor, target: float, dt: float = 0.004) -> None:
        """Rate loop, angles from the gyro, height from the pressure; PX4's motors 0 to 3 by hand."""
        self.ground = sensor.pressure_alt if self.ground is None else self.ground
        height = sensor.pressure_alt - self.ground
        self.climbing = 0.0 if self.height is None else 0.9 * self.climbing + 0.1 * (height - self.height) / dt
        self.height = height
        self.roll += sensor.xgyro * dt
        self.pitch += sensor.ygyro * dt
        roll = 0.1 * (-4 * self.roll - sensor.xgyro)
        pitch = 0.1 * (-4 * self.pitch - sensor.ygyro)
        yaw = -0.2 * sensor.zgyro
        thrust = 0.4905 + 0.1 * (target - height) - 0.15 * self.climbing
        motors = (thrust - roll + pitch + yaw, thrust + roll - pitch + yaw, thrust + roll + pitch - yaw,
                  thrust - roll - pitch - yaw)  # fmt: skip
        self.link.sendall(self.answer(sensor, motors))

    def end(self, seconds: float = 60) -> tuple[int, str]:
        rest = self.process.communicate(timeout=seconds)[0]
        return self.process.returncode, rest

    def close(self):
        self.link.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


@pytest.fixture
def fly():
    started = []

    def start(*arguments):
        started.append(Flown(*arguments))
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_px4_takes_off_in_lockstep_and_holds_its_height_until_it_is_told_to_end(fly):
    px4_client = fly()
    for _ in range(20):
        px4_client.sample()  # its startup script runs: no answers yet, and the samples go on
    for tick in range(1500):
        px4_client.steer(px4_client.sample(), target=2.0)
        assert tick < 100 or not px4_client.samples  # none came ahead of an answer
    stamps = [m.time_usec for m in px4_client.heard if m.get_type() == "HIL_SENSOR"]
    assert stamps == list(range(4000, 4000 * len(stamps) + 1, 4000))
    truth = px4_client.last("HIL_STATE_QUATERNION")
    assert truth.alt / 1e3 - 489.4 == pytest.approx(2.0, abs=0.1)
    assert abs(truth.lat - 473977420) < 50 and abs(truth.lon - 85455940) < 50  # half a metre
    px4_client.process.send_signal(signal.SIGINT)
    code, output = px4_client.end()
    assert code == 0 and "armed" in output and "in lockstep from here" in output
    assert re.search(r"times as fast as the clock; at east \S+ north \S+ up (1\.9|2\.0)", output)


def test_without_an_answer_nothing_moves_and_a_stopped_px4_is_named(fly):
    px4_client = fly("--patience", "1")
    for _ in range(100):
        px4_client.steer(px4_client.sample(), target=1.0)
    sensor = px4_client.sample()
    assert not select.select([px4_client.link], [], [], 0.3)[0]
    code, output = px4_client.end()
    assert code == 1
    wanted = f"error: PX4 has not answered the HIL_SENSOR of {sensor.time_usec / 1e6:.3f} s for 1 s: it has stopped"
    assert wanted in output and "Traceback" not in output


def test_a_px4_that_closes_the_connection_is_named(fly):
    px4_client = fly()
    px4_client.steer(px4_client.sample(), target=1.0)
    px4_client.sample()
    px4_client.link.close()
    code, output = px4_client.end()
    assert code == 1 and re.search(r"error: PX4 closed the connection at \d+\.\d+ s", output)
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--px4-hil", "udp:4560"], "--px4-hil: found 'udp:4560', wanted tcp:PORT"),
        (["--px4-hil", "tcp:4560", "--rate", "100"], "--rate: found 100, wanted 250 to 500"),
        (["--px4-hil", "tcp:4560", "--set", "COM_OF_LOSS_T=1"], "--set: found with --px4-hil"),
        (["--px4-hil", "tcp:4560", "--home", "91,0,0"], "--home: found '91,0,0'"),
        (["--px4-hil", "tcp:0", "--fault", "rotor:5:40"], "fault: found 'rotor:5:40', wanted rotor:NUMBER:PERCENT"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(arguments, complaint, capsys):
    assert complaint in refused(capsys, "vehicle", *arguments)


def test_instances_have_ports_of_their_own():
    from spike_ctrl_sitl.px4_hil import tcp_server

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot listen at port {port} "):
            tcp_server.listen(f"tcp:{port - 2}", instance=2)
