"""The companion's own end of the link flies the vehicle: ENU and FLU only, in virtual time.

- parameters, streams, mode, arming, then rates and thrust from a small cascade on Odometry alone
- it flies to a place in ENU with a yaw in ENU, and lands; every answer is understood
"""

import math

import numpy as np
import pytest

from spike_ctrl import airframe
from spike_ctrl.px4 import frames, link_events
from spike_ctrl.px4.dialect import CommandResult, Landed, PX4Mode, messages
from spike_ctrl.px4.link import Link
from spike_ctrl.px4.signing import Signing
from spike_ctrl.simulated_px4.vehicle import ONBOARD, Vehicle

CRAFT = airframe.load("sih_quadx")


class Companion:
    """A link and its events so far."""

    def __init__(self, vehicle, link=None):
        self.vehicle, self.link, self.events = vehicle, link or Link(), []

    def send(self, data):
        self._hear(self.vehicle.receive(ONBOARD, data, self.vehicle.now))

    def _hear(self, packets):
        for port, data in packets:
            if port == ONBOARD:
                self.events += self.link.receive(data, self.vehicle.now)

    def run(self, seconds, fly=None):
        end, last = self.vehicle.now + seconds, None
        while self.vehicle.now < end - 1e-9:
            self._hear(self.vehicle.advance(self.vehicle.now + 0.004))
            odometry = self.last(link_events.Odometry)
            if fly is not None and odometry is not last:
                last = odometry
                self.send(fly(odometry))

    def last(self, kind):
        return next((event for event in reversed(self.events) if isinstance(event, kind)), None)

    def all(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def goto(self, place, yaw):
        """Rates towards a place and a yaw, by a textbook cascade: position PD, thrust vector, attitude P; ENU and FLU."""

        def command(odometry):
            error, velocity = np.subtract(place, odometry.position), np.array(odometry.velocity)
            force = 1.5 * np.clip(error, -1, 1) - 1.0 * velocity + (0, 0, 9.81)
            up = np.array([frames.rotate(odometry.quaternion, axis) for axis in np.eye(3)])  # rows: forward, left, up
            tilt = up @ np.cross(up[2], force / np.linalg.norm(force))
            turn = frames.wrapped(yaw - frames.yaw_of(odometry.quaternion))
            rates = (6 * tilt[0], 6 * tilt[1], max(-0.8, min(0.8, 1.5 * turn)))
            return self.link.rates(float(np.clip(force @ up[2] / 9.81 * CRAFT.hover, 0, 1)), rates, odometry.now)

        return command


def idle(companion):
    return lambda odometry: companion.link.rates(0.0, (0.0, 0.0, 0.0), odometry.now)


def test_the_link_flies_the_vehicle_in_enu():
    vehicle = Vehicle(CRAFT, noise=0.0)
    me = Companion(vehicle)
    me.send(me.link.stream(messages.MAVLINK_MSG_ID_ODOMETRY, 100, 0.0))
    me.send(me.link.set_parameter("COM_OF_LOSS_T", 0.2, 0.0))
    me.send(me.link.set_parameter("COM_OBL_RC_ACT", 4, 0.0))
    me.run(2.5, idle(me))
    assert [(event.name, event.value) for event in me.all(link_events.ParameterReading)] == [
        ("COM_OF_LOSS_T", pytest.approx(0.2)), ("COM_OBL_RC_ACT", 4),
    ]  # fmt: skip
    assert me.last(link_events.PowerStatus).ready and me.last(link_events.LandedState).state is Landed.ON_GROUND
    assert frames.yaw_of(me.last(link_events.Odometry).quaternion) == pytest.approx(math.pi / 2)  # nose north
    me.send(me.link.set_mode(PX4Mode.OFFBOARD, vehicle.now))
    me.run(0.1, idle(me))
    assert [event.final for event in me.all(link_events.Acknowledged) if event.command == 176] == [False, True]
    me.send(me.link.arm(vehicle.now))
    me.run(1.2, idle(me))
    assert me.last(link_events.FlightMode) == (pytest.approx(vehicle.now, abs=1), PX4Mode.OFFBOARD, True)
    me.run(12.0, me.goto((2.0, -1.0, 1.5), yaw=0.0))
    np.testing.assert_allclose(vehicle.truth.position, (2.0, -1.0, 1.5), atol=0.1)
    assert frames.yaw_of(vehicle.truth.quaternion) == pytest.approx(0.0, abs=0.05)  # nose east
    assert me.last(link_events.LandedState).state is Landed.IN_AIR
    me.send(me.link.disarm(vehicle.now))
    me.run(0.1, me.goto((2.0, -1.0, 1.5), yaw=0.0))
    assert me.last(link_events.Acknowledged).result is CommandResult.TEMPORARILY_REJECTED
    me.send(me.link.attitude(CRAFT.hover, frames.from_yaw(0.0), vehicle.now))  # the last act
    me.run(25.0)
    assert not me.last(link_events.FlightMode).armed and me.last(link_events.LandedState).state is Landed.ON_GROUND
    assert math.dist(vehicle.truth.position[:2], (2.0, -1.0)) < 0.3
    assert vehicle.plant.hardest_touchdown < 0.5
    assert not {"garbage", "foreign", "lost", "late"} & {reason for reason, count in me.link.counts.items() if count}


def test_clock_version_and_a_jump_of_the_estimate_are_told():
    vehicle = Vehicle(CRAFT, parameters={"SYS_FAILURE_EN": 1}, noise=0.0)
    me = Companion(vehicle)
    me.run(1.0)
    me.send(me.link.timesync(vehicle.now))
    me.send(me.link.request(messages.MAVLINK_MSG_ID_AUTOPILOT_VERSION, vehicle.now))
    me.run(0.1)
    assert me.last(link_events.ClockOffset).offset == pytest.approx(0.0, abs=1e-6)
    assert me.last(link_events.Version)[1:] == (1, 17, False)
    vehicle.estimator.jump((1.0, 0.0, 0.0))
    me.run(0.1)
    counters = [state.reset_counter for state in me.all(link_events.Odometry)]
    assert len(counters) > 2 and set(counters) == {0, 1} and counters == sorted(counters)
    assert me.last(link_events.Odometry).position == pytest.approx((1.0, 0.0, 0.0), abs=1e-6)


def test_a_signed_link_and_a_signed_vehicle_accept_only_each_other():
    key = bytes(range(32))
    vehicle = Vehicle(CRAFT, noise=0.0, signing={ONBOARD: Signing(key, 0, 1.8e9, 0.0)})
    me, stranger = Companion(vehicle, Link(signing=Signing(key, 1, 1.8e9, 0.0))), Companion(vehicle)
    me.run(2.5)
    stranger.send(stranger.link.arm(vehicle.now))
    me.run(0.1)
    assert not vehicle.commander.armed and vehicle.readers[ONBOARD].counts["unsigned"] == 1
    recorded = me.link.arm(vehicle.now)
    me.send(recorded)
    me.run(0.1)
    assert vehicle.commander.armed
    me.send(me.link.disarm(vehicle.now))
    me.run(0.1)
    me.send(recorded)  # replayed
    me.run(0.1)
    assert not vehicle.commander.armed and vehicle.readers[ONBOARD].counts["replayed"] == 1
