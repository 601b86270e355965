"""The companion's conversation with Betaflight, on answers of a vehicle that is played here.

- states are poses with the gyro's rates; what repeats itself is no new state
- the override and arming are the pilot's; the stack is OFFBOARD only where it has asked
- the keeper holds an override that nobody asked for, and lands where commands stop
- without poses, or with poses that contradict the gyro, an old firmware is flown level, a new one hears nothing
"""

import math
import struct

import pytest
from betaflight_answers import ANSWERS, BOXIDS

from spike_ctrl import airframe
from spike_ctrl.flight.autopilot import Ask, Mode
from spike_ctrl_betaflight import msp
from spike_ctrl_betaflight.betaflight_companion import BetaflightCompanion
from spike_ctrl_betaflight.msp import MspReader, Packet
from spike_ctrl_betaflight.options import BetaflightOptions
from spike_ctrl_betaflight.pose import OutsidePose, PoseTrack


class Vehicle:
    """Answers as the firmware does; `pulses` are those of the last override frame."""

    def __init__(self, api="000130", battery="measured", mixer=""):
        self.sent, self.now = [], 100.0
        chosen = BetaflightOptions(hover=0.47, battery=battery, mixer=mixer)
        self.companion = BetaflightCompanion(airframe.load("racer"), chosen, 100.0, self.sent.append)
        self.boxes, self.pulses, self.height, self.gyro = 0, None, 0.0, 0
        self.hear(*[Packet(c, bytes.fromhex(api if c == msp.API_VERSION else p)) for c, p in ANSWERS.items()])
        self.hear(Packet(msp.BOXIDS, BOXIDS), Packet(msp.ATTITUDE, struct.pack("<3h", 100, 0, 0)))

    def hear(self, *packets):
        found = self.companion.receive(packets, self.now)
        for data in (*self.sent, *self.companion.due(self.now)):
            if data[:3] == b"$M<" and data[4] == msp.SET_RAW_RC:
                self.pulses = struct.unpack("<4H", data[5:-1])
        self.sent.clear()
        return found

    def switch(self, *boxes):
        self.boxes = sum(1 << BOXIDS.index(box) for box in boxes)
        return self.fly(0.05)

    def fly(self, seconds, poses=True, commands=False):
        """For a time, with a state each 10 ms."""
        found = []
        for _ in range(round(seconds * 100)):
            self.now += 0.01
            status = struct.pack("<HHHIBHBBBBIBH", 125, 0, 33, self.boxes, 0, 0, 4, 0, 0, 26, 0, 0, 0)
            self.hear(Packet(msp.STATUS_EX, status))
            if poses:
                noise = 1e-6 * (round(self.now * 100) % 7)
                self.hear(
                    OutsidePose(self.now, self.now, (0.0, noise, self.height), (0.0, 0.0, 0.0, 1.0), (0.0, 0.0, noise))
                )
                self.now += 0.002
                imu = struct.pack("<9h", 0, 0, 256, self.gyro, 0, 0, 0, 0, 0)
                found += self.hear(Packet(msp.RAW_IMU, imu))
                self.now -= 0.002
            if commands:
                self.companion.command((0.1, 0.0, 0.0, 0.0), self.now)
                self.hear()
        return found


def test_a_state_is_a_pose_with_the_rates_of_the_gyro():
    vehicle = Vehicle()
    vehicle.gyro = 164
    states = vehicle.fly(0.5)
    assert len(states) == 50
    assert states[-1].rates == pytest.approx((0.1745, 0.0, 0.0), abs=1e-3)  # 164 counts are 10 deg/s
    assert states[-1].ages[0] == pytest.approx(0.002) and states[-1].position[2] == 0.0


def test_a_pose_that_repeats_itself_is_no_state():
    vehicle = Vehicle()
    pose = OutsidePose(1.0, 100.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    for n in range(5):
        vehicle.now += 0.01
        vehicle.hear(pose._replace(stamp=1.0 + 0.01 * n, received=vehicle.now))
    assert vehicle.companion.track.repeated == 4


def test_the_velocity_of_a_pose_without_one_is_found():
    track = PoseTrack()
    for n in range(100):
        track = track.seen(OutsidePose(0.01 * n, 0.0, (0.005 * n, 0.0, -0.01 * n), (0.0, 0.0, 0.0, 1.0)))
    assert track.last.velocity == pytest.approx((0.5, 0.0, -1.0), rel=1e-3)
    gap = track.seen(OutsidePose(3.0, 0.0, (9.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)))
    assert gap.gaps == 1 and gap.last.velocity == (0.0, 0.0, 0.0)


def test_who_flies_is_the_pilots_choice():
    vehicle = Vehicle()
    vehicle.fly(0.3)
    status = vehicle.companion.status()
    assert (status.mode, status.armed, status.landed) == (Mode.OTHER, False, True)
    vehicle.companion.ask(Ask.OFFBOARD, vehicle.now)
    vehicle.companion.ask(Ask.ARM, vehicle.now)
    vehicle.fly(0.2, commands=True)
    assert vehicle.companion.status().mode is Mode.OTHER and vehicle.pulses is None  # not without the switch
    vehicle.switch(msp.ARM, msp.OVERRIDE)
    vehicle.companion.ask(Ask.OFFBOARD, vehicle.now)
    vehicle.fly(0.2, commands=True)
    assert vehicle.companion.status().mode is Mode.OFFBOARD and vehicle.companion.status().armed
    assert vehicle.pulses[2] > 1400
    for other in (msp.ANGLE, msp.FAILSAFE):
        vehicle.switch(msp.ARM, msp.OVERRIDE, other)
        assert vehicle.companion.status().mode is Mode.OTHER
    vehicle.pulses = None
    vehicle.switch(msp.ARM)
    vehicle.fly(0.2, commands=True)
    assert vehicle.companion.status().mode is Mode.OTHER and vehicle.pulses is None


def test_override_on_the_ground_idles_until_the_stack_asks():
    vehicle = Vehicle()
    vehicle.fly(0.3)
    vehicle.switch(msp.ARM, msp.OVERRIDE)
    vehicle.fly(0.5)
    assert vehicle.companion.status().mode is Mode.HOLD
    assert vehicle.pulses == (1500, 1500, 1050, 1500)


def airborne(**more):
    vehicle = Vehicle(**more)
    vehicle.fly(0.3)
    vehicle.switch(msp.ARM)
    vehicle.height = 1.0
    vehicle.fly(0.3)
    assert not vehicle.companion.status().landed
    return vehicle


def test_override_in_the_air_is_held_by_the_keeper():
    vehicle = airborne()
    vehicle.switch(msp.ARM, msp.OVERRIDE)
    vehicle.fly(0.5)
    assert vehicle.companion.status().mode is Mode.HOLD
    assert abs(vehicle.pulses[2] - vehicle.companion.throttle.pulse(vehicle.companion.hover.command)) < 60
    vehicle.height = 0.8
    vehicle.fly(0.1)
    assert vehicle.pulses[2] > vehicle.companion.throttle.pulse(vehicle.companion.hover.command) + 20  # up again


def test_commands_that_stop_end_in_a_landing():
    vehicle = airborne()
    vehicle.switch(msp.ARM, msp.OVERRIDE)
    vehicle.companion.ask(Ask.OFFBOARD, vehicle.now)
    vehicle.fly(0.3, commands=True)
    assert vehicle.companion.status().mode is Mode.OFFBOARD
    vehicle.fly(0.3)
    assert vehicle.companion.status().mode is Mode.LAND
    vehicle.height = 0.02
    vehicle.fly(1.0)
    assert vehicle.companion.status().landed and vehicle.pulses == (1500, 1500, 1050, 1500)
    assert vehicle.companion.status().mode is Mode.OTHER  # the pilot disarms


def test_without_poses_the_vehicle_is_levelled_and_only_an_old_firmware_is_commanded_for_long():
    for api, mixer, silent in (("000130", "", True), ("00012e", "", False), ("00012e", "127.0.0.1:7788", True)):
        vehicle = airborne(api=api, mixer=mixer)
        vehicle.switch(msp.ARM, msp.OVERRIDE)
        vehicle.fly(0.3)
        assert vehicle.companion.holds_last is not silent
        vehicle.pulses = None
        vehicle.fly(0.1, poses=False)
        vehicle.pulses = None
        vehicle.fly(0.5, poses=False)  # it leans 10 degrees to the right: back to the left, and a little below the hover
        assert vehicle.pulses[0] < 1500 and vehicle.pulses[1] == 1500
        assert vehicle.pulses[2] < vehicle.companion.throttle.pulse(vehicle.companion.hover.command)
        vehicle.fly(0.4, poses=False)
        vehicle.pulses = None
        vehicle.fly(0.5, poses=False)
        assert (vehicle.pulses is None) is silent


@pytest.mark.parametrize(("api", "level"), [("000131", False), ("00012e", True)])
def test_poses_that_turn_otherwise_than_the_gyro_are_not_flown_by(api, level):
    """A frozen motion capture: the vehicle turns at 10 deg/s, and its poses do not. .15 rad are reached after some .9 s."""
    vehicle = Vehicle(api)
    vehicle.switch(msp.ARM)
    vehicle.height = 1.0
    vehicle.switch(msp.ARM, msp.OVERRIDE)
    vehicle.gyro = 164
    vehicle.fly(0.7)
    assert vehicle.companion.mode is Mode.HOLD
    vehicle.fly(1.2)
    assert vehicle.companion.mode is Mode.OTHER
    vehicle.pulses = None
    vehicle.fly(0.5)
    assert (vehicle.pulses is not None) is level  # a new firmware hears nothing, and the pilot's sticks fly
    vehicle.gyro = 0
    vehicle.fly(3.0)
    assert vehicle.companion.mode is Mode.OTHER  # until the pilot has flown
    vehicle.switch(msp.ARM)
    vehicle.switch(msp.ARM, msp.OVERRIDE)
    assert vehicle.companion.mode is Mode.HOLD


def test_poses_that_drift_against_their_velocity_are_not_flown_by_and_a_jump_is():
    """They rise at .9 m/s, their velocity says that they stand: .7 m are reached after some .9 s."""
    vehicle = airborne()
    vehicle.switch(msp.ARM, msp.OVERRIDE)
    vehicle.height += 1.0
    vehicle.fly(2.0)
    assert vehicle.companion.mode is Mode.HOLD
    modes = []
    for _ in range(150):
        vehicle.height += 0.009
        vehicle.fly(0.01)
        modes.append(vehicle.companion.mode)
    assert 60 < modes.index(Mode.OTHER) < 120 and modes[-1] is Mode.OTHER


@pytest.mark.parametrize(
    "broken", [{"position": (0.0, math.nan, 1.0)}, {"quaternion": (math.nan,) * 4}, {"velocity": (0.0, math.inf, 0.0)}]
)
def test_a_pose_that_is_no_number_is_no_pose(broken):
    vehicle = airborne()
    vehicle.switch(msp.ARM, msp.OVERRIDE)
    before = vehicle.companion.track
    pose = OutsidePose(vehicle.now + 0.01, vehicle.now + 0.01, (0.0, 0.0, 1.0), (0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.0))
    assert vehicle.hear(pose._replace(**broken), Packet(msp.RAW_IMU, struct.pack("<9h", 0, 0, 256, *[0] * 6))) == []
    assert vehicle.companion.track == before._replace(refused=1)
    vehicle.fly(0.1)
    assert vehicle.companion.mode is Mode.HOLD and all(900 < pulse < 2100 for pulse in vehicle.pulses)


def test_the_battery_is_told_by_its_cells():
    vehicle = Vehicle()
    vehicle.fly(0.1)
    status = vehicle.companion.status()
    assert (status.voltage, status.battery) == (17.0, 1.0)
    vehicle.hear(Packet(msp.BATTERY_STATE, bytes.fromhex("0000000000000000040000")))  # of the SITL: none
    assert vehicle.companion.status().battery != vehicle.companion.status().battery  # NaN: not known
    assert Vehicle(battery="assumed").companion._charge() == (1.0, 100.0)


def test_broken_answers_are_counted_and_harm_nothing():
    vehicle = Vehicle()
    for command in (msp.STATUS_EX, msp.RAW_IMU, msp.BATTERY_STATE, msp.RC_TUNING):
        vehicle.hear(Packet(command, b"\1\2"))
    assert vehicle.companion.link.counts["undecodable"] == 4
    assert len(vehicle.fly(0.1)) == 10
    assert MspReader().read(b"".join(vehicle.companion.due(vehicle.now + 10))) == []  # what it sends are requests


def test_the_hover_is_learnt_from_the_throttle_that_flies():
    """A pilot who hovers by hand teaches it; what the stack would have commanded meanwhile does not count."""
    vehicle = Vehicle()
    vehicle.fly(1.0)
    vehicle.height = 1.0
    vehicle.switch(msp.ARM)
    sticks = struct.pack("<7H", 1500, 1500, 1500, vehicle.companion.throttle.pulse(0.6), 2000, 1000, 1000)
    for _ in range(100):
        vehicle.hear(Packet(msp.RC, sticks))
        vehicle.fly(0.1)
    assert vehicle.companion.hover.command == pytest.approx(0.6, abs=0.01)


def test_the_hover_is_not_learnt_while_the_ground_carries_the_vehicle():
    """Armed and idle on the ground, with poses that move it by .2 m: its accelerometer tells 1 g all the same."""
    vehicle = Vehicle()
    vehicle.fly(1.0)
    vehicle.switch(msp.ARM)
    sticks = struct.pack("<7H", 1500, 1500, 1500, vehicle.companion.throttle.pulse(0.2), 2000, 1000, 1000)
    for height in (0.0, 0.2) * 20:
        vehicle.height = height
        vehicle.hear(Packet(msp.RC, sticks))
        vehicle.fly(0.1)
    assert vehicle.companion.hover.command == 0.47


def test_old_firmware_and_a_mixer_have_a_frame_when_the_override_is_switched_on():
    old, new, mixed = Vehicle(api="00012e"), Vehicle(), Vehicle(mixer="127.0.0.1:7788")
    for vehicle in (old, new, mixed):
        vehicle.fly(0.3)
    assert new.pulses is None and old.pulses == (1500, 1500, old.companion.throttle.pulse(0.0), 1500)
    assert mixed.pulses == old.pulses  # a mixer wants sticks before the switch goes on
    old.height = 1.0
    old.switch(msp.ARM)
    old.fly(0.3)
    assert old.pulses == pytest.approx((1500, 1500, old.companion.throttle.pulse(old.companion.hover.command), 1500), abs=2)
