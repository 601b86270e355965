"""Flights on PX4's own firmware (SIH) at udpin:127.0.0.1:14540: bridge, guide, policy and supervisor in one process.

    export PYTHONPATH=tests/oracles
    python tests/flight/px4_flight.py satellites [figure8]   # lost in the air: when the deviation, LAND, PX4's mode come
    python tests/flight/px4_flight.py side [without-floor]   # a policy rolls the vehicle over, and the guide takes over
    python tests/flight/px4_flight.py track snn|px4 hover|step|circle|figure8|lissajous   # RMSE by estimate and truth
    python tests/flight/px4_flight.py brake north|east|up|down 2.0 hold|silence [gaining]   # how far PX4 goes on from 2 m/s

PX4_BIN is the folder of PX4's programs (build/.../bin). `spike-ctrl preflight --no-remote-control --set` comes
first.
The exit code is 0 where the policy flew its part and the vehicle landed.
"""

import dataclasses
import math
import os
import subprocess
import sys
import time

import numpy as np
from virtual_stack import VirtualStack

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.control.trajectory import SetPoint, Trajectory
from spike_ctrl.flight import attitude, bridge
from spike_ctrl.flight.actuator_faults import RateResidualLimits
from spike_ctrl.flight.autopilot import Mode
from spike_ctrl.flight.event_words import sentence
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.flight_settings import FlightSettings, settings_for
from spike_ctrl.flight.request import Request
from spike_ctrl.flight.setpoint import Target, set_point_at
from spike_ctrl.flight.supervisor_state import SupervisorState
from spike_ctrl.policy import checkpoint
from spike_ctrl.px4 import companion, frames, link_events, parameter_rules, preflight
from spike_ctrl.px4.connection import Connection
from spike_ctrl.px4.dialect import messages
from spike_ctrl.px4.link import Link
from spike_ctrl.sim import observation
from spike_ctrl.sim.action_mapping import LEAST_COLLECTIVE

EARTH = 6371000.0  # m
POSITION_AND_VELOCITY = 0b100111000000  # type_mask of SET_POSITION_TARGET_LOCAL_NED
PERIOD = 0.02  # s


class StackOnPX4(VirtualStack):
    """The stack in real time. policy: answers in the guide's place, if given. bad: it rolls the vehicle over."""

    def __init__(self, policy=None, floor=True, **settings):
        self.craft = airframe.load("sih_quadx")
        self.settings = settings_for(self.craft, 100.0, **settings)
        self.wanted = parameter_rules.Wanted(remote_control=False)
        self.connection = Connection("udpin:127.0.0.1:14540")
        names = parameter_rules.parameter_names(parameter_rules.rules_for(self.settings, self.craft, self.wanted))
        self.companion = companion.Companion(Link(), 100.0, names, self.settings.force)
        self.guide, self.policy, self.floor = GeometricGuide(self.craft), policy, floor
        self.integral, self.spiking = self.guide.initial_state(1), policy and policy.initial_state()
        at_rest = observation.build((0, 0, 0), (0, 0, 0, 1), (0, 0, 0), (0, 0, 0))  # compiles what is not in the cache
        self.guide.act(at_rest[None], self.guide.initial_state(1))
        _ = policy and policy.step(at_rest, policy.initial_state())
        self.memory, self.passed, self.state = bridge.BridgeMemory(), bridge.PassedCommand(), SupervisorState()
        self.lost, self.bad, self.seen = (lambda packet: False), False, None
        self.requests, self.target, self.unmet, self.events, self.modes = [], None, None, [], []
        self.log, self.truth, self.stood, self.told_events, self.due, self.audited = [], None, None, 0, 0.0, 0.0
        take, truth = self.companion._take, link_events.GroundTruth
        self.companion._take = lambda event: self.take_truth(event) if isinstance(event, truth) else take(event)

    @property
    def now(self):
        return time.monotonic()

    def take_truth(self, event):
        """The true position (m, ENU) from where the vehicle last stood disarmed."""
        place = (event.latitude, event.longitude, event.altitude)
        if self.stood is None or self.companion._disarmed:
            self.stood = place
        north, east, up = (a - b for a, b in zip(place, self.stood, strict=True))
        across = EARTH * math.cos(math.radians(place[0]))
        self.truth = (math.radians(east) * across, math.radians(north) * EARTH, up)

    def fly(self, seconds, until=None):
        end = self.now + seconds
        while self.now < end:
            self._tick()
            if until is not None and until():
                return self
        assert until is None, (
            f"not within {seconds} s; {self.rung.name}: {[sentence(event) for event in self.events[-6:]]}, {self.unmet}"
        )
        return self

    def take_off(self):
        self.fly(3.0)
        self._send(self.companion.link.stream(messages.MAVLINK_MSG_ID_HIL_STATE_QUATERNION, 50, self.now))
        self.fly(40, until=lambda: self.unmet == ())
        for request, rung in ((Request.TAKE_OFF, Rung.GUIDE), (Request.ENGAGE, Rung.SNN)):
            for _ in range(20):
                self.requests.append(request)
                self.fly(1.0)
                if self.rung is rung:
                    break
            self.fly(25, until=lambda: not self.state.ladder.taking_off)
        return self

    def land(self):
        """Whether the policy flew until now and the vehicle landed."""
        flew = self.rung is Rung.SNN
        self.requests.append(Request.LAND)
        self.fly(60, until=lambda: self.rung is Rung.SILENT)
        self.fly(8, until=lambda: self.companion._disarmed)
        return flew

    def set(self, name, value):
        program = f"{os.environ['PX4_BIN']}/px4-param"
        subprocess.run(
            [program, "set", name, str(value)], check=True, capture_output=True, cwd=f"{os.environ['PX4_BIN']}/.."
        )

    def _tick(self):
        samples = []
        data, sender = self.connection.receive(0.005)
        while data:
            if self.connection.believes(sender, self.now):
                samples += self.companion.receive(data, self.now)
                self.connection.adopt(sender, self.now)
            data, sender = self.connection.receive(0.0)
        if self.now - self.due > PERIOD:
            self.due = self.now
            for packet in self.companion.due(self.now):
                self._send(packet)
        if self.rung > Rung.GUIDE and self.now - self.audited > 1.0:
            self.audited, heard = self.now, self.companion.heard_of(self.now)
            rules = parameter_rules.rules_for(self.settings, self.craft, self.wanted, version=heard.version)
            self.companion.want(parameter_rules.parameter_names(rules))
            found = preflight.audit(heard, self.settings, self.craft, self.wanted)
            self.unmet = tuple(str(one) for one in found if one.blocks)
        if samples:
            self._state(samples[-1])
            self.log.append((self.now, samples[-1], self.truth, self.rung, self.mode))
        else:
            self._step()
        for event in self.events[self.told_events :]:
            print(f"{self.now:.2f} {sentence(event)}", flush=True)
        self.told_events = len(self.events)

    def _state(self, sample):
        self.seen = sample
        super()._state(sample)

    def _step(self, **news):
        if "policy" in news and self.bad:
            shaken = 0.01 * math.sin(97 * self.now)
            news["policy"] = news["policy"]._replace(action=(0.3, 1.0, shaken, 0.0))
        elif "policy" in news and self.policy is not None and (point := self.memory.target) is not None:
            velocity = tuple(v - w for v, w in zip(self.seen.velocity, point.velocity, strict=True))
            place = (self.seen.position, self.seen.quaternion, velocity, self.seen.rates, point.position, point.yaw)
            action, self.spiking = self.policy.step(observation.build(*place), self.spiking)
            news["policy"] = news["policy"]._replace(action=tuple(np.clip(action, -1, 1).tolist()))
        if "guide" in news and not self.floor and news["guide"].action[0] <= LEAST_COLLECTIVE:
            news["guide"] = news["guide"]._replace(action=(-1.0, *news["guide"].action[1:]))
        super()._step(**news)

    def _send(self, packet):
        if packet:
            self.connection.send(packet)


def satellites(path=""):
    stack = StackOnPX4().take_off()
    stack.target = Trajectory("figure8", stack.seen.position, size=1.0, period=8.0) if path else None
    stack.fly(6.0)
    begin = stack.now
    stack.set("SIM_GPS_USED", 0)
    try:
        stack.fly(30.0, until=lambda: stack.rung is Rung.SILENT)
    finally:
        stack.set("SIM_GPS_USED", 10)
    rows = [row for row in stack.log if row[0] >= begin]
    limit = stack.settings.estimate.horizontal
    for what, holds in (
        (f"deviation beyond {limit} m", lambda row: row[1].quality.horizontal > limit),
        ("rung LAND", lambda row: row[3] is Rung.LAND),
        ("PX4 in LAND", lambda row: row[4] is Mode.LAND),
    ):
        print(what, next((f"{row[0] - begin:.2f} s" for row in rows if holds(row)), "never"))
    for second in range(6):
        row = next(row for row in rows if row[0] - begin >= second)
        print(f"{second} s: deviation {row[1].quality.horizontal:.2f} m, flags {row[1].quality.flags}")
    return any(row[4] is Mode.LAND for row in rows)


def side(floor=""):
    if floor:
        FlightSettings.with_thrust = lambda self, action: action
    stack = StackOnPX4(floor=not floor, cage="-4,-4,-0.5,4,4,6", height=3.0)
    envelope = dataclasses.replace(stack.settings.envelope, tilt=math.radians(60), rate=20.0)
    apart = {"contradiction": 2.0, "contradiction_away": 2.0, "contradiction_first": 2.0, "contradiction_together": 4.0}
    answers = dataclasses.replace(stack.settings.answers, disagreement=2.0, **apart)
    stack.settings = dataclasses.replace(stack.settings, envelope=envelope, answers=answers)
    for name, value in (
        ("GF_MAX_VER_DIST", 9),
        ("GF_MAX_HOR_DIST", 9),
        ("FD_FAIL_R", 120),
        ("FD_FAIL_P", 120),
        ("MC_AIRMODE", 0),
    ):
        stack.set(name, value)
    stack.take_off().fly(3.0)
    begin, stack.bad = stack.now, True
    stack.fly(2.0, until=lambda: stack.rung is not Rung.SNN)
    stack.bad = False
    stack.fly(8.0)
    rows = [row for row in stack.log if row[0] >= begin]
    tilt = max(math.degrees(attitude.tilt(row[1].quaternion)) for row in rows)
    heights = [row[2][2] for row in rows if row[2] is not None]
    print(f"tilt at most {tilt:.0f} degrees; true height from {heights[0]:.2f} to {min(heights):.2f} m at least")
    stack.land()
    return min(heights) > 0.5


def brake(towards, speed, how="hold", when="cruising"):
    """How far PX4 goes on from `speed` (m/s) when it is asked to hold, or the commands stop; and what braking.py says.

    gaining: the set-point still gains speed then, by 2 m/s^2; otherwise it keeps that speed.
    """
    policy = checkpoint.load(resources.folder("models") / "sih_quadx.safetensors").policy
    stack = StackOnPX4(policy, cage="-12,-12,-0.5,12,12,14", height=6.0 if towards == "down" else 1.5)
    fastest = stack.settings.envelope.speed if when == "gaining" else float(speed) / 0.8  # set-points move with .8 of it
    envelope = dataclasses.replace(stack.settings.envelope, error=14.0, speed=fastest)
    stack.settings = dataclasses.replace(stack.settings, envelope=envelope)
    for name, value in (("GF_MAX_VER_DIST", 25), ("GF_MAX_HOR_DIST", 25)):
        stack.set(name, value)
    stack.take_off().fly(2.0)
    axis, sign = {"north": (1, 1), "east": (0, 1), "up": (2, 1), "down": (2, -1)}[towards]
    goal = np.array(stack.seen.position)
    goal[axis] += sign * (4.5 if towards == "down" else 10.0)
    stack.target = SetPoint(tuple(goal))
    stack.fly(15.0, until=lambda: sign * stack.seen.velocity[axis] >= (1.0 if when == "gaining" else 0.9) * float(speed))
    stack.fly(0.0 if when == "gaining" else 1.0)
    begin, told, true = stack.now, stack.seen.position[axis], stack.truth[axis]
    met, stack.target = sign * stack.seen.velocity[axis], None
    rates = stack.companion.link.rates
    if how == "silence":
        stack.companion.link.rates = lambda *_: b""
    else:
        stack.requests.append(Request.DISENGAGE)
    stack.fly(6.0)
    stack.companion.link.rates = rates
    rows = [row for row in stack.log if row[0] >= begin]
    went = [
        max(sign * (place - was) for place in places)
        for was, places in ((told, [row[1].position[axis] for row in rows]), (true, [row[2][axis] for row in rows]))
    ]
    held = next(row[0] - begin for row in rows if row[4] in (Mode.HOLD, Mode.LAND))
    braking = stack.settings.braking
    along = [0.0, 0.0, 0.0]
    along[axis] = sign * met
    reckoned = abs(braking.end((0.0, 0.0, 0.0), tuple(along), asked=how == "hold")[axis])
    print(
        f"{how}, {towards} at {met:.2f} m/s, {when}: PX4 flies after {held:.2f} s; it went on by "
        f"{went[0]:.2f} m by the estimate, {went[1]:.2f} m by the truth; reckoned with: {reckoned:.2f} m"
    )
    stack.requests.append(Request.LAND)
    stack.fly(60, until=lambda: stack.companion._disarmed)
    return True


def path_at(kind, middle, flown):
    """What is flown after `flown` s: every 4 s a step of 1 m to the north or back, or a path of +-1 m in 8 s."""
    x, y, z = middle
    if kind in ("hover", "step"):
        return SetPoint((x, y + (kind == "step" and flown // 4 % 2), z))
    return Trajectory(kind, middle, size=1.0, period=8.0)


def track(who, kind):
    policy = checkpoint.load(resources.folder("models") / "sih_quadx.safetensors").policy if who == "snn" else None
    stack = StackOnPX4(policy).take_off()
    x, y, z = home = stack.state.home
    middle, begin, rates, sent, rows, path = (x, y, z + 1.2), stack.now, stack.companion.link.rates, 0.0, [], None
    if who == "px4":  # the position is sent, and no rates
        stack.companion.link.rates = lambda *_: b""
        stack.settings = dataclasses.replace(stack.settings, turn=RateResidualLimits())
    while (flown := stack.now - begin) < 20.0:
        known, before, path = len(stack.log), path, path_at(kind, middle, flown)
        if path != before:
            stack.target = path
        stack._tick()
        point = stack.memory.target
        if who == "px4":
            point, _ = set_point_at(Target(path, since=begin), stack.now, stack.state.cage(stack.settings))
            if stack.now - sent > PERIOD:
                sent = stack.now
                to = (*frames.ned_from_enu(point.position), *frames.ned_from_enu(point.velocity), 0, 0, 0)
                heading = frames.ned_yaw_from_enu(point.yaw)
                message = messages.MAVLink_set_position_target_local_ned_message(
                    0, 1, 1, messages.MAV_FRAME_LOCAL_NED, POSITION_AND_VELOCITY, *to, heading, 0
                )
                stack._send(stack.companion.link._write(message, stack.now))
        if len(stack.log) > known and flown > 4.0 and stack.truth is not None:
            here = np.subtract(point.position, home)
            rows.append((*np.subtract(stack.seen.position, point.position), *np.subtract(stack.truth, here)))
    errors = np.sqrt((np.array(rows).reshape(-1, 2, 3) ** 2).sum(2).mean(0))
    print(f"{who} {kind}: RMSE by the estimate {errors[0]:.3f} m, by the truth {errors[1]:.3f} m")
    stack.companion.link.rates = rates
    return stack.land()


if __name__ == "__main__":
    sys.exit(not {"satellites": satellites, "side": side, "track": track, "brake": brake}[sys.argv[1]](*sys.argv[2:]))
