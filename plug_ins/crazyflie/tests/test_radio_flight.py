"""`spike-ctrl fly crazyflie` against a stand-in for cflib's Crazyflie, in virtual time.

- it takes off, engages in the air, streams set-points, lands, and leaves a bag
- a low battery, no positioning deck, another policy's app and a firmware without one are refused before a motor turns
- a fault of the app, a sagging battery, a silent log and the user's wish land it; a lost link leaves it to the firmware
"""

import logging
import math
from types import SimpleNamespace

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl.cli import main
from spike_ctrl.control.trajectory import SetPoint, Trajectory
from spike_ctrl.recordings import reader
from spike_ctrl_crazyflie import fly_verb as fly
from spike_ctrl_crazyflie.onboard_flight import CLIMB, OnboardFlight, RadioFlightError
from spike_ctrl_crazyflie.radio_checks import RadioLimits
from spike_ctrl_crazyflie.radio_log import BLOCKS, LARGEST_BLOCK
from spike_ctrl_identify import flight_import, imported_bag

WEIGHTS = 0x1234ABCD
EIGHT = Trajectory("figure8", centre=(0.0, 0.0, 0.6), size=0.5, period=6.0)


class Callbacks(list):
    add_callback = list.append


class Config:
    """A log block, as `cflib.crazyflie.log.LogConfig`."""

    def __init__(self, name, period):
        self.name, self.period, self.names, self.running = name, period, [], False
        self.data_received_cb = Callbacks()

    def add_variable(self, name, kind):
        self.names.append(name)

    def start(self):
        self.running = True

    def stop(self):
        self.running = False


class Vehicle:
    """The interface of `cflib.crazyflie.Crazyflie` that a flight uses, over a point mass that follows its set-point."""

    def __init__(self, voltage=4.1, decks=("bcLighthouse4",), weights=WEIGHTS):
        self.now, self.voltage, self.deaf = 0.0, voltage, False
        self.position, self.velocity, self.aim = np.zeros(3), np.zeros(3), np.zeros(3)
        self.values = {"snn.enable": 0, "snn.weights": weights, "stabilizer.controller": 1, "stabilizer.estimator": 1}
        self.values |= {"kalman.resetEstimation": 0, **{f"deck.{name}": 1 for name in decks}, "deck.bcLedRing": 1}
        self.fault, self.enabled_at, self.told, self.configs = 0, math.nan, [], []
        names = {name for block in BLOCKS for name, _ in block.variables}
        self.param = SimpleNamespace(toc=self.table(self.values), set_value=self.set_value, get_value=self.get_value)
        self.log = SimpleNamespace(toc=self.table(names), add_config=self.configs.append)
        self.commander = SimpleNamespace(
            send_position_setpoint=self.aim_at, send_notify_setpoint_stop=lambda: self.told.append("notify stop")
        )
        self.high_level_commander = SimpleNamespace(
            takeoff=lambda height, time: self.high_level("takeoff", height),
            land=lambda height, time: self.high_level("land", height), stop=lambda: self.told.append("stop"),
        )  # fmt: skip
        self.platform = SimpleNamespace(send_arming_request=lambda arm: self.told.append("arm"))
        self.connection_lost = Callbacks()

    @staticmethod
    def table(names):
        groups = {}
        for name in names:
            groups.setdefault(name.partition(".")[0], set()).add(name.partition(".")[2])
        return SimpleNamespace(toc=groups)

    def set_value(self, name, value):
        assert name in self.values
        self.values[name] = value
        if name == "snn.enable":
            self.told.append(f"enable {value}")
            self.enabled_at = self.now if value else math.nan

    def get_value(self, name):
        return str(self.values[name])

    def aim_at(self, x, y, z, degrees):
        self.aim = np.array([x, y, z])

    def high_level(self, what, height):
        self.told.append(what)
        self.aim = np.array([self.position[0], self.position[1], height])

    @property
    def phase(self):
        if self.fault or math.isnan(self.enabled_at):
            return 3 if self.fault else 0
        return 2 if self.now - self.enabled_at > 0.5 and self.position[2] > 0.25 else 1

    def sleep(self, seconds):
        for _ in range(round(seconds / 0.01)):
            self.now += 0.01
            self.velocity = 3.0 * (self.aim - self.position)
            self.position = self.position + 0.01 * self.velocity
            self.send()

    def send(self):
        place = dict(zip(("x", "y", "z", "vx", "vy", "vz"), [*self.position, *self.velocity], strict=True))
        seen = {f"stateEstimate.{name}": value for name, value in place.items()}
        seen |= {"stateEstimate.qx": 0, "stateEstimate.qy": 0, "stateEstimate.qz": 0, "stateEstimate.qw": 1}
        seen |= {"gyro.x": 0, "gyro.y": 0, "gyro.z": 90.0, **{f"motor.m{n}": 32768 for n in (1, 2, 3, 4)}}
        seen |= {f"ctrltarget.{axis}": value for axis, value in zip("xyz", self.aim, strict=True)}
        seen |= {"pm.vbat": self.voltage, "snn.phase": self.phase, "snn.fault": self.fault, "snn.stepUs": 600}
        seen |= {"snn.mostUs": 900, "snn.missed": 0, "snn.spikes": 0.1, **{f"kalman.varP{a}": 1e-4 for a in "XYZ"}}
        milliseconds = round(1e3 * self.now)
        for config in self.configs:
            if config.running and milliseconds % config.period == 0 and not self.deaf:
                for callback in config.data_received_cb:
                    callback(milliseconds, {name: seen[name] for name in config.names}, config)


def flight(vehicle, stopped=lambda: False):
    return OnboardFlight(vehicle, Config, RadioLimits(), lambda: vehicle.now, vehicle.sleep, stopped, lambda line: None)


def flown(vehicle, seconds=8.0, **options):
    one = flight(vehicle, **options)
    one.prepare(WEIGHTS)
    one.fly(0.6, [(EIGHT, seconds)], lambda: SetPoint(EIGHT.centre))
    return one


def test_it_takes_off_engages_in_the_air_flies_and_lands_and_the_bag_tells_what_was_flown(tmp_path):
    vehicle = Vehicle()
    one = flown(vehicle)
    assert vehicle.told == ["enable 0", "arm", "takeoff", "enable 1", "enable 0", "notify stop", "land", "stop"]
    assert vehicle.values["stabilizer.controller"] == 6 and vehicle.values["stabilizer.estimator"] == 2
    craft = airframe.load("crazyflie")
    found = flight_import.prepare(one.log.flight(tmp_path / "bag", "crazyflie", {}), craft)
    imported_bag.write(tmp_path / "bag", found.ticks, craft, found.origin)
    (recording,) = [reader.read(tmp_path / "bag")]
    assert recording.commands.action == pytest.approx(0.0, abs=1e-4)  # half of the duty
    ticks = found.ticks.values
    assert ticks["rates"][:, 2] == pytest.approx(math.pi / 2) and ticks["position"][:, 0].max() == pytest.approx(
        0.5, abs=0.1
    )


@pytest.mark.parametrize(
    ("vehicle", "words"),
    [
        (Vehicle(voltage=3.6), "battery: found 3.60 V, wanted at least 3.8 V"),
        (Vehicle(decks=()), "positioning deck: found none, wanted one of Lighthouse, Loco, Flow, Flow v2, Active marker"),
        (Vehicle(weights=1), "app: weights: found 00000001, wanted 1234abcd of the model"),
    ],
)
def test_what_must_not_fly_is_refused_before_a_motor_turns(vehicle, words):
    with pytest.raises(RadioFlightError, match="refused to fly: ") as refusal:
        flight(vehicle).prepare(WEIGHTS)
    assert words in str(refusal.value) and vehicle.told == ["enable 0"]


def test_a_firmware_without_the_app_is_refused_and_left_as_it_is():
    vehicle = Vehicle()
    del vehicle.param.toc.toc["snn"]
    with pytest.raises(RadioFlightError, match="app: found no parameter group snn, wanted the app of spike-ctrl export"):
        flight(vehicle).prepare(WEIGHTS)
    assert not vehicle.told and not vehicle.configs


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda v: setattr(v, "fault", 5), "the app's guard took over: snn.fault 5, distance"),
        (lambda v: setattr(v, "voltage", 3.0), "battery: below 3.1 V for 1 s"),
        (lambda v: setattr(v, "deaf", True), "no log of the app for 0.5 s"),
    ],
)
def test_what_goes_wrong_in_the_air_disables_the_policy_and_lands(harm, words):
    vehicle = Vehicle()
    sleep = vehicle.sleep

    def harmful(seconds):
        sleep(seconds)
        if vehicle.phase == 2 and vehicle.now - vehicle.enabled_at > 2:
            harm(vehicle)

    vehicle.sleep = harmful
    with pytest.raises(RadioFlightError, match=words):
        flown(vehicle)
    assert vehicle.told[-4:] == ["enable 0", "notify stop", "land", "stop"] and vehicle.position[2] < 0.1


def test_the_users_wish_lands_it_and_a_lost_link_leaves_it_to_the_firmware():
    vehicle = Vehicle()
    with pytest.raises(RadioFlightError, match="the user asked for an end"):
        flown(vehicle, stopped=lambda: vehicle.now > CLIMB + 6)
    assert vehicle.told[-2:] == ["land", "stop"]
    vehicle = Vehicle()
    sleep = vehicle.sleep

    def losing(seconds):
        sleep(seconds)
        if vehicle.phase == 2:
            for callback in vehicle.connection_lost:
                callback("radio", "too many packets lost")

    vehicle.sleep = losing
    with pytest.raises(RadioFlightError, match="link lost: too many packets lost; the firmware's own watchdog"):
        flown(vehicle)
    assert vehicle.told[-1] == "enable 1"


def test_no_log_block_is_larger_than_a_packet():
    assert all(block.size <= LARGEST_BLOCK for block in BLOCKS)


def test_the_stand_in_has_nothing_that_cflib_lacks():
    crazyflie = pytest.importorskip("cflib.crazyflie")
    config = pytest.importorskip("cflib.crazyflie.log").LogConfig
    real, mine = crazyflie.Crazyflie(), Vehicle()
    for part in ("param", "log", "commander", "high_level_commander", "platform"):
        for name in vars(getattr(mine, part)):
            assert hasattr(getattr(real, part), name), f"{part}.{name}"
    assert hasattr(real, "connection_lost") and all(hasattr(config, name) for name in ("add_variable", "start", "stop"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "sih_quadx"), "--model: sih_quadx: action: found 'rates', wanted 'motors'"),
        (("--model", "crazyflie", "--trajectory", "circle:2:8"), "--trajectory: circle: found a set-point at "),
        (("--model", "crazyflie", "--voltage", "9"), "--voltage: found 9, wanted 3 to 4.2"),
    ],
)
def test_a_wrong_command_line_is_refused_in_one_line(capsys, arguments, words):
    assert main.main(["fly", "crazyflie", "--uri", "radio://0/80/2M", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_radio_that_is_not_there_is_told_in_one_line(monkeypatch, capsys):
    """cflib puts its traceback into the message of what it raises."""

    def no_radio(uri):
        raise RuntimeError("Cannot find a Crazyradio Dongle\n\nTraceback (most recent call last):\n  File ...")

    drivers = SimpleNamespace(init_drivers=lambda: None)
    link = SimpleNamespace(open_link=lambda: no_radio(""), close_link=lambda: None)
    monkeypatch.setattr(fly, "_radio", lambda: (drivers, lambda uri: link, None))
    assert main.main(["fly", "crazyflie", "--uri", "radio://0/80/2M", "--model", "crazyflie", "--check"]) == 1
    assert capsys.readouterr().err == "error: radio://0/80/2M: Cannot find a Crazyradio Dongle\n"


def test_what_cflib_logs_is_not_printed_beside_the_error():
    pytest.importorskip("cflib.crtp")
    fly._radio()
    assert logging.getLogger("cflib").handlers
