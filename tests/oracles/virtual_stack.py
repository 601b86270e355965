"""The companion's stack in virtual time on the simulated vehicle: bridge, guide, supervisor, over MAVLink as in a flight.

The guide also answers in the place of the policy. Answers come within the state's own tick of 4 ms. What a test does to the
link: `lost(packet)` says whether a packet to the autopilot is lost.
"""

import math

import numpy as np
from told_events import ToldEvents

from spike_ctrl import airframe
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.flight import attitude, bridge, supervisor
from spike_ctrl.flight.answer_checks import Answer, Identity
from spike_ctrl.flight.autopilot import Mode
from spike_ctrl.flight.event import Event, EventKind
from spike_ctrl.flight.event_words import sentence
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.flight_settings import settings_for
from spike_ctrl.flight.request import Request
from spike_ctrl.flight.supervisor_state import SupervisorInputs, SupervisorState
from spike_ctrl.px4 import link, parameter_rules, preflight
from spike_ctrl.px4.companion import Companion
from spike_ctrl.px4.link import Link
from spike_ctrl.sim import observation
from spike_ctrl.simulated_px4.vehicle import ONBOARD, Vehicle

READY = parameter_rules.simulated(airframe.load("sih_quadx")) | {"SYS_FAILURE_EN": 1}
GUIDE, POLICY = Identity("guide", 0), Identity("model.safetensors", 0)
OFFSET = 100.0  # s, of the companion's clock
TICK = 0.004  # s


class VirtualStack(ToldEvents):
    """One vehicle on the ground with its stack, passive. settings: keyword arguments of `settings_for`."""

    def __init__(self, parameters=None, vehicle=None, **settings):
        self.craft = airframe.load("sih_quadx")
        self.settings = settings_for(self.craft, 100.0, **settings)
        self.wanted = parameter_rules.Wanted(remote_control=False)
        self.vehicle = Vehicle(
            self.craft, parameters=READY | (parameters or {}), **{"seed": 1, "noise": 0.5} | (vehicle or {})
        )
        names = parameter_rules.parameter_names(parameter_rules.rules_for(self.settings, self.craft, self.wanted))
        self.companion = Companion(Link(), 100.0, names, self.settings.force)
        self.guide = GeometricGuide(self.craft)
        self.integral = self.guide.initial_state(1)
        self.memory, self.passed, self.state = bridge.BridgeMemory(), bridge.PassedCommand(), SupervisorState()
        self.lost = lambda packet: False
        self.requests, self.target, self.unmet, self.events, self.modes = [], None, None, [], []
        self.truths = []

    @property
    def now(self):
        return self.vehicle.now + OFFSET

    @property
    def rung(self):
        return self.state.ladder.rung

    @property
    def mode(self):
        status = self.companion.status()
        return status and status.mode

    def fly(self, seconds, until=None):
        """Fly for so long, or until the condition holds; fails where it does not come to hold."""
        end = self.vehicle.now + seconds
        while self.vehicle.now < end - 1e-9:
            self._tick()
            if until is not None and until():
                return self
        assert until is None, (
            f"not within {seconds} s; {self.rung.name}: {[sentence(event) for event in self.events[-6:]]}, {self.unmet}"
        )
        return self

    def take_off(self):
        """In the air with the policy engaged."""
        self.fly(20, until=lambda: self.unmet == ())
        self.requests.append(Request.TAKE_OFF)
        self.fly(20, until=lambda: self.told(EventKind.TOOK_OFF))
        self.requests.append(Request.ENGAGE)
        return self.fly(5, until=lambda: self.rung is Rung.SNN)

    def inject(self, unit, kind):
        """A failure, by MAV_CMD_INJECT_FAILURE."""
        packet = self.companion.link._command(420, self.now, unit, kind)
        self.vehicle.receive(ONBOARD, packet, self.vehicle.now)

    def _tick(self):
        samples = []
        for port, data in self.vehicle.advance(self.vehicle.now + TICK):
            samples += self.companion.receive(data, self.now) if port == ONBOARD else []
        self.truths.append(self.vehicle.truth.position)
        for packet in self.companion.due(self.now):
            self._send(packet)
        if round(self.vehicle.now / TICK) % 50 == 0:
            found = preflight.audit(self.companion.heard_of(self.now), self.settings, self.craft, self.wanted)
            self.unmet = tuple(str(one) for one in found if one.blocks)
        if samples:
            self._state(samples[-1])
        else:
            self._step()

    def _state(self, sample):
        status = self.companion.status()
        self.memory, bridged = bridge.bridge_state(self.memory, sample, status, self.settings)
        self.passed = self.passed.with_state(bridged.accepted)
        if bridged.on_ground:
            self.integral = self.guide.initial_state(1)
        self._step(sample=bridged.sample)
        if (seen := bridged.accepted) is not None:
            point = self.memory.target
            position, velocity, yaw = (
                (seen.position, (0.0, 0.0, 0.0), attitude.yaw(seen.quaternion))
                if point is None
                else (point.position, point.velocity, point.yaw)
            )
            relative = tuple(v - w for v, w in zip(seen.velocity, velocity, strict=True))
            row = observation.build(seen.position, seen.quaternion, relative, seen.rates, position, yaw)
            action, self.integral = self.guide.act(np.float32(row)[None], self.integral)
            values = tuple(map(float, action[0]))
            restless = tuple(value + 0.012 * (-1) ** seen.tick for value in values)  # as spikes are; the guide's is calm
            self._step(policy=Answer(seen.tick, self.now, restless, "rates", POLICY, (0.2, 0.1)))
            self._step(guide=Answer(seen.tick, self.now, values, "rates", GUIDE))

    def _step(self, **news):
        requests, self.requests = tuple(self.requests), []
        target, self.target = self.target, None
        inputs = SupervisorInputs(
            self.now, autopilot=self.companion.status(), requests=requests, target=target, unmet=self.unmet, **news
        )
        self.state, output = supervisor.step(self.state, inputs, self.settings)
        self.events += output.events
        if output.set_point is not None:
            self.memory = self.memory._replace(target=output.set_point)
        if output.ask is not None:
            self._send(self.companion.ask(output.ask, self.now))
        if (command := output.command) is not None:
            rests = command.commander.value == "rest"
            self.passed, found = bridge.admit_command(
                self.passed, command.tick, command.action, "rates", rests, self.now, self.settings
            )
            if found:
                self.events.append(Event(self.now, EventKind.FAULT, found[0]))
                return
            self._send(self.companion.link.rates(*link.thrust_and_rates(command.action, self.craft), self.now))
        if not self.modes or self.modes[-1][1] is not self.mode:
            self.modes.append((self.now, self.mode))

    def _send(self, packet):
        for _, answer in () if self.lost(packet) else self.vehicle.receive(ONBOARD, packet, self.vehicle.now):
            self.companion.receive(answer, self.now)


def speed_of(state):
    return math.hypot(*state.velocity)


LAND, HOLD = Mode.LAND, Mode.HOLD
