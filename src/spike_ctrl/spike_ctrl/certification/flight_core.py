"""The whole flight core in virtual time: vehicle with its autopilot, bridge, guide, policy and supervisor, with faults.

It does what the nodes do with the same functions, and what passes between them takes random milliseconds. MAVLink's bytes
and ROS 2's messages are left out, for speed; other tests fly those. The vehicle begins in the air, on GUIDE, or on the
ground as an automatic flight does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spike_ctrl import airframe as airframes
from spike_ctrl.certification import moving_scenario
from spike_ctrl.certification.flight_parts import Competitors, FlownStep, VirtualClock
from spike_ctrl.certification.injected_fault import FLIGHT, LANDING
from spike_ctrl.certification.link_injection import LinkInjection, ProcessInjection
from spike_ctrl.certification.moving_scenario import Scenario
from spike_ctrl.certification.operator_injection import give_aims, operate
from spike_ctrl.certification.plant_injection import PlantInjection, mislead
from spike_ctrl.certification.signal_injection import OF_FORCES, OF_STATES, SignalInjection
from spike_ctrl.certification.virtual_companion import RADIO, VirtualCompanion
from spike_ctrl.certification.virtual_controllers import VirtualControllers
from spike_ctrl.control.trajectory import SetPoint, Trajectory
from spike_ctrl.flight import auto_mission, bridge, supervisor
from spike_ctrl.flight.answer_checks import Action, Identity
from spike_ctrl.flight.autopilot import Ask, Mode
from spike_ctrl.flight.bridge import observed
from spike_ctrl.flight.command_choice import Command, CommandedBy
from spike_ctrl.flight.event import Event, EventKind
from spike_ctrl.flight.event_words import reason
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.flight_settings import FlightSettings, for_lost_rotor
from spike_ctrl.flight.force_consistency import ForceCheck
from spike_ctrl.flight.ladder_state import Ladder
from spike_ctrl.flight.request import Request
from spike_ctrl.flight.setpoint import Target
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.flight.supervisor_state import SupervisorInputs, SupervisorOutput, SupervisorState
from spike_ctrl.px4 import parameter_rules
from spike_ctrl.px4.companion import ASKED
from spike_ctrl.px4.dialect import PX4Mode
from spike_ctrl.simulated_px4 import offboard_setpoints, vehicle_commands
from spike_ctrl.simulated_px4.plant import TICK
from spike_ctrl.simulated_px4.vehicle import WARM_UP as BOOTS
from spike_ctrl.simulated_px4.vehicle import Vehicle

if TYPE_CHECKING:
    from spike_ctrl.certification.flight_bag import FlightBag

SUPERVISOR_PERIOD, IMU_PERIOD = 0.01, 0.02  # s
MESSAGE = (1e-4, 5e-4)  # s that a message takes, least and most
ENGAGE = 0.8  # s, when the policy takes over: its warm-up is over by then
AT_REST, RESTS = 0.3, 1.0  # m/s, s: a vehicle that is held ends its flight
OF_THE_STATE = ("state", "unseen", "estimator", "clock")  # places
MISSION = auto_mission.MissionPlan(duration=3600.0)
RECEIVED = {"sample", "guide", "policy", "candidate"}  # messages that know when they were received


class FlightCore:
    """One flight. `fly` runs it. record: takes what a bag would hold."""

    def __init__(
        self, scenario: Scenario, who: Competitors, settings: FlightSettings, record: FlightBag | None = None
    ) -> None:
        self.settings = settings = replace(settings, cage=scenario.cage) if scenario.cage else settings
        if scenario.struck("rotor", "stuck"):
            self.settings = settings = for_lost_rotor(settings, who.airframe, settings.rotors.flown, checked=True)
        self.scenario, self.who, self.record = scenario, who, record
        self.dice = np.random.default_rng((scenario.seed, 1))
        self._jitter: Iterator[float] = iter(())
        craft = airframes.altered(who.airframe, *scenario.factors)
        parameters = parameter_rules.simulated(who.airframe) | parameter_rules.hover_changes(who.airframe)
        self.vehicle = Vehicle(craft, scenario.seed, parameters, scenario.noise)
        if scenario.cage:
            rules = parameter_rules.rules_for(settings, who.airframe, parameter_rules.Wanted(remote_control=False))
            self.vehicle.parameters.update(parameter_rules.to_set(self.vehicle.parameters, rules))
        self.vehicle.estimator.heading = scenario.heading
        self.clock = VirtualClock()
        struck = scenario.struck(*OF_THE_STATE)
        self.of_states = [SignalInjection(fault, OF_STATES) for fault in struck if fault.kind in OF_STATES]
        self.of_forces = [SignalInjection(fault, OF_FORCES) for fault in struck if fault.kind in OF_FORCES]
        self.link, self.processes = LinkInjection(scenario.struck("link")), ProcessInjection(scenario.struck("process"))
        self.plant = PlantInjection(scenario, self.vehicle.plant)
        self.memory, self.passed = bridge.BridgeMemory(), bridge.PassedCommand(source=1, heard=0.0)
        self.state, self.mission = SupervisorState(stepped=0.0), auto_mission.Mission()
        self.controllers = VirtualControllers(self)
        if not scenario.grounded:
            self._begin_in_the_air(SetPoint(scenario.start, yaw=math.pi / 2))
        self.force = ForceCheck()
        self.accepted: Identity | None = None  # the checkpoint that may take over
        self.asleep: dict[str, Any] = {}  # messages for a supervisor that sleeps, by topic
        self.requests: list[Request] = []
        self.target: SetPoint | Trajectory | None = None
        self.events: list[Event] = []
        self.steps: list[FlownStep] = []
        self.moves: list[tuple[float, Rung, str]] = []  # time, rung and reason of every change
        self._sample_due = self._rests_since = 0.0
        self._begin, self._aimed = scenario.begin, False
        self.companion = VirtualCompanion(self.clock, self.vehicle, self.link, self.processes, self.between)

    def _begin_in_the_air(self, start: SetPoint) -> None:
        trimmed = self.scenario.stream is not None  # it has hovered: it tilts, and the guide has integrated what holds it
        wind = self.scenario.wind if trimmed else (0.0, 0.0, 0.0)
        self.vehicle.begin_in_the_air(start.position, wind)
        if self.scenario.begin <= 0:  # thrown: the estimator and its sensors know of no earlier motion
            self.plant.act(0.0)
            self.vehicle.estimate_anew()
        self.memory = self.memory._replace(target=start, last_airborne=0.0)
        begun = Event(0.0, EventKind.PLACED, detail="begins in the air")
        ladder = Ladder(Rung.GUIDE, 0.0, begun, confirmed=True, came_from=Mode.OFFBOARD, armed=True)
        self.state = self.state._replace(ladder=ladder, target=Target(start), home=(0.0, 0.0, 0.0))
        if trimmed:
            self.controllers.trim_guide()

    # --- time -------------------------------------------------------------------------------------------------------

    def fly(self) -> None:
        """To the end of the scenario, or until the vehicle has landed or has been held in place for long enough."""
        clock, scenario, vehicle = self.clock, self.scenario, self.vehicle
        self.companion.begin(asks_time=scenario.stream is not None)
        clock.at(0.003, self._supervise)
        if scenario.phase in (FLIGHT, LANDING) and not scenario.grounded:
            clock.at(min(ENGAGE, self._begin), self._engage)
        clock.at(scenario.lands, self.requests.append, Request.LAND)
        for at, by, turn in scenario.resets:
            clock.at(at, vehicle.estimator.jump, by, turn)
            clock.at(at, vehicle.navigator.shifted, by)
        for fault in scenario.struck("autopilot"):
            clock.at(fault.at, mislead, fault, vehicle.estimator, clock)
        if not scenario.grounded:
            give_aims(self, 0.0)
        for fault in scenario.struck("operator"):
            clock.at(fault.at, operate, fault, self)
        while vehicle.now < scenario.duration and not self._over():
            now = vehicle.now + TICK
            clock.run(now)
            self.plant.act(now)
            vehicle.tick()
            if now >= self._sample_due - 1e-9:
                self._sample_due += self.link.period(now, self.settings.state.period)
                self._measure(now)

    def _engage(self) -> None:
        """The policy flies from now on, as if it had agreed with the guide before: strong noise would let it wait here."""
        now = self.clock.now
        engaged = Event(now, EventKind.PLACED, detail="engaged")
        ladder = self.state.ladder._replace(rung=Rung.SNN, since=now, because=engaged, approved=Identity(self.who.name, 0))
        self.state = self.state._replace(ladder=ladder)

    def _over(self) -> bool:
        """Whether it stands on the ground, or the autopilot has held it at rest for long enough."""
        if not self.vehicle.commander.armed:
            return self.vehicle.commander.took_off
        if self.vehicle.commander.mode is not PX4Mode.AUTO_LOITER or math.hypot(*self.vehicle.truth.velocity) > AT_REST:
            self._rests_since = self.vehicle.now
            return False
        return self.vehicle.now - max(self._rests_since, self._begin) > RESTS and not self.scenario.struck("autopilot")

    def between(self, span: tuple[float, float]) -> float:
        """A random time (s) between two."""
        if (draw := next(self._jitter, None)) is None:
            self._jitter = iter(self.dice.random(1024).tolist())
            draw = next(self._jitter)
        return span[0] + draw * (span[1] - span[0])

    # --- vehicle and bridge -----------------------------------------------------------------------------------------

    def _measure(self, now: float) -> None:
        vehicle, stream = self.vehicle, self.scenario.stream
        estimate, stamp = vehicle.estimate, now * (1 + stream.skew) if stream else now
        sample = Sample(
            0, stamp, now, estimate.position, estimate.quaternion, estimate.velocity, estimate.rates,
            vehicle.estimator.reset_counter, quality=vehicle.estimator.quality,
        )  # fmt: skip
        for injection in self.of_states:
            sample = injection(sample, now)
        # As the companion does it, with HIGHRES_IMU at 50 Hz; nothing of the link's delays is in it.
        if now - self.force.measured >= IMU_PERIOD - TICK / 2:
            force = vehicle.estimator.acceleration
            for felt in self.of_forces:
                force = felt(force, now)
            self.force = self.force.felt(force, now, self.settings.force)
        self.force, sample = self.force.judged(sample, self.settings.force)
        wanted = self.memory.target.position if self.memory.target is not None else estimate.position
        self.steps.append(FlownStep(now, vehicle.truth.position, estimate.position, wanted, self.state.ladder.rung))
        for delay in self.link.states(now):
            at = now + self.between(RADIO) + delay + (self.between((0.0, stream.jitter)) if stream else 0.0)
            self.clock.at(self.companion.arrival(at, sample), self._bridge_state, sample)

    def _bridge_state(self, sample: Sample) -> None:
        now = self.clock.now
        if self.processes.wakes("bridge", now) > now:  # a bridge that wakes takes the newest state alone
            return
        if (received := self.companion.received(sample)) is None:
            return
        status = self.companion.status
        self.memory, bridged = bridge.bridge_state(self.memory, received, status, self.settings)
        (sample, accepted, on_ground), seen, guided = bridged, None, self.passed.guide_flies(now, self.settings)
        self.passed = self.passed.with_state(accepted)
        if accepted is not None:
            seen = observed(accepted, self.memory.target)
            self.controllers.show(now + self.between(MESSAGE), (sample.tick, seen, on_ground, guided))
        if self.record is not None:
            self.record.state(now, bridged, seen, guided)
        self.clock.at(now + self.between(MESSAGE), self.tell_supervisor, {"sample": sample})

    # --- supervisor -------------------------------------------------------------------------------------------------

    def tell_supervisor(self, news: dict[str, Any]) -> None:
        """Messages by topic reach the supervisor now, or when it wakes."""
        now = self.clock.now
        awake = self.processes.wakes("supervisor", now)
        if awake > now:  # depth 1: when it wakes, the newest message of a topic is there; older ones are gone
            for name, message in news.items():
                if self.asleep.get(name) is None:
                    self.clock.at(awake, self._take_waiting, name)
                self.asleep[name] = message
        else:
            self._step(news)

    def _take_waiting(self, name: str) -> None:
        message, self.asleep[name] = self.asleep[name], None
        self._step({name: message})

    def _supervise(self) -> None:
        now = self.clock.now
        self.clock.at(now + SUPERVISOR_PERIOD, self._supervise)
        stepped = self.state.stepped
        quiet = stepped is None or now - stepped > SUPERVISOR_PERIOD / 2 or self.requests or self.target is not None
        if quiet and self.processes.wakes("supervisor", now) <= now:
            self._step({})

    def _step(self, news: dict[str, Any]) -> None:
        now = self.clock.now
        for name, message in news.items():
            if name in RECEIVED:
                news[name] = message._replace(received=now)
        requests, target, self.target = tuple(self.requests), self.target, None
        self.requests.clear()
        get, status = news.get, self.companion.status
        told = get("sample"), get("policy"), get("guide"), get("candidate")
        inputs = SupervisorInputs(now, *told, status, requests, target, get("stream"), (), ())
        self.state, output = supervisor.step(self.state, inputs, self.settings)
        self.events += output.events
        rung = self.state.ladder.rung
        if not self.moves or rung is not self.moves[-1][1]:
            self.moves.append((now, rung, reason(self.state.ladder.because)))
        self._publish(output, "sample" in news)
        if self.scenario.grounded and self.mission.phase is not auto_mission.MissionPhase.DONE:
            self._fly_on(now)

    def _fly_on(self, now: float) -> None:
        """The automatic flight, as the supervisor's node flies it."""
        missing, airborne = self.missing(now), (status := self.companion.status) is not None and status.airborne
        self.mission, requests, _ = auto_mission.advance(self.mission, self.state.ladder, airborne, missing, now, MISSION)
        self.requests += requests
        if self.mission.phase is auto_mission.MissionPhase.FLY and not self._aimed:
            self._aimed = True
            give_aims(self, max(now - moving_scenario.HANDED_OVER, 0.0))

    def missing(self, now: float) -> str:
        """What keeps a flight from taking off: here the autopilot is ready as soon as its estimate is."""
        return "" if now > BOOTS else "the estimate"

    def _publish(self, output: SupervisorOutput, with_point: bool) -> None:
        now = self.clock.now
        if self.record is not None:
            self.record.output(self, output)
        if (command := output.command) is not None:
            self.clock.at(now + self.between(MESSAGE), self._command, command)
            if self.who.told:
                self.clock.at(now + self.between(MESSAGE), self.controllers.hear_command, command)
        if output.ask is not None:
            self.clock.at(now + self.between(MESSAGE), self._ask, output.ask)
        if output.accept is not None and output.accept != self.accepted:
            self.clock.at(now + self.between(MESSAGE), self.controllers.pilot.accept, *output.accept)
        self.accepted = output.accept
        if with_point and output.rotors is not None:
            self.clock.at(now + self.between(MESSAGE), self.controllers.hear_rotors, output.rotors)
        if with_point and output.set_point is not None:
            self.clock.at(now + self.between(MESSAGE), self._set_point, output.set_point)

    # --- from the supervisor to the vehicle -------------------------------------------------------------------------

    def _set_point(self, point: SetPoint) -> None:
        if self.processes.wakes("bridge", self.clock.now) <= self.clock.now:
            self.memory = self.memory._replace(target=point)

    def _command(self, command: Command) -> None:
        now = self.clock.now
        if (awake := self.processes.wakes("bridge", now)) > now:
            self.clock.at(awake, self._command, command)
            return
        rests = command.commander is CommandedBy.REST
        self.passed, found = bridge.admit_command(
            self.passed, command.tick, command.action, self.settings.layout, rests, now, self.settings
        )
        if found:
            return
        self.passed = self.passed._replace(heard=now, guided=command.commander is CommandedBy.GUIDE)
        self._send(command.action, now)

    def _send(self, action: Action, now: float) -> None:
        if (delay := self.link.command(now)) is not None:
            setpoint = offboard_setpoints.of_action(action, self.who.airframe)
            at = now + self.between(RADIO) + delay + self.scenario.latency
            self.clock.at(self.companion.departure(at), self.vehicle.take, setpoint)

    def _ask(self, ask: Ask) -> None:
        now = self.clock.now
        if self.processes.wakes("bridge", now) <= now and (delay := self.link.command(now)) is not None:
            at = now + self.between(RADIO) + delay
            if ask is Ask.ARM:
                self.clock.at(at, vehicle_commands.arm, self.vehicle)
            else:
                self.clock.at(at, self.request_mode, ASKED[ask])

    def request_mode(self, mode: PX4Mode) -> None:
        """The autopilot is asked for a mode, by the supervisor or by a pilot."""
        self.vehicle.commander.request_mode(mode, self.vehicle.seen)

    def stream(self, point: SetPoint) -> None:
        """One set-point of the operator's stream reaches the supervisor."""
        self.tell_supervisor({"stream": point})
