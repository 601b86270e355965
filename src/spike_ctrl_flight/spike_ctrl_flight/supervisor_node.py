"""supervisor: decides who flies and is the only source of commands.

It starts passive: it never arms and never engages unless the operator asks it to, or `auto` is set. Services: take_off,
guide, engage, disengage, land (std_srvs/Trigger) and set_target; the topic `target` is a stream of set-points. With `auto`
it takes off, engages the policy, flies the trajectories and lands; then it ends, with exit code 0 if the policy flew them.
"""

import sys
import time
from functools import partial
from typing import Any

from spike_ctrl_msgs.msg import AutopilotStatus, FlightState, Preflight, SetPoint, VehicleAction
from spike_ctrl_msgs.srv import SetTarget
from std_srvs.srv import Trigger

from spike_ctrl import plug_ins
from spike_ctrl._files.errors import UsageError
from spike_ctrl.control.trajectory import SetPoint as Point
from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.flight import supervisor
from spike_ctrl.flight.auto_mission import NOT_ANSWERED, NOT_HEARD
from spike_ctrl.flight.autopilot import Autopilot
from spike_ctrl.flight.command_choice import CommandedBy
from spike_ctrl.flight.event import EventKind, answering
from spike_ctrl.flight.event_words import sentence
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.flight_clock import FlightClock, HeldBack
from spike_ctrl.flight.flight_statistics import Tally
from spike_ctrl.flight.request import SERVICES, Request
from spike_ctrl.flight.supervisor_state import SupervisorInputs, SupervisorOutput, SupervisorState
from spike_ctrl_flight import flight_messages
from spike_ctrl_flight.flight_parameters import SupervisorParameters
from spike_ctrl_flight.flight_plan import plan_flight
from spike_ctrl_flight.graph_watch import GraphWatch
from spike_ctrl_flight.supervisor_outputs import SupervisorOutputs
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import nanoseconds
from spike_ctrl_ros.declared_parameters import declare
from spike_ctrl_ros.node import ProcessNode, RivalWatch
from spike_ctrl_ros.spin import run

Target = Point | Trajectory
ANSWERS = {"policy/action": "policy", "guide/action": "guide", "candidate/action": "candidate"}


class Supervisor(ProcessNode):
    def __init__(self) -> None:
        super().__init__("supervisor")
        p = self.parameters = declare(self, SupervisorParameters)
        _, self.settings, self.automatic = plan_flight(p)
        self.state, self.tally = SupervisorState(), Tally()
        self.requests: list[Request] = []
        self.target: Target | None = None
        self.autopilot: Autopilot | None = None
        self.point: Point | None = None
        self.clock, self.walked = FlightClock(p.paced, self.settings.pause), time.monotonic()
        self.held = HeldBack()
        self.status_sent, self.stepped, self.ending = 0, self.walked, False
        self.outputs = SupervisorOutputs(self, self.settings, p.paced)
        for topic, name in ANSWERS.items():
            self.create_subscription(VehicleAction, topic, partial(self.on_answer, name), qos.STREAM)
        self.create_subscription(FlightState, "flight_state", self.on_state, qos.STREAM)
        self.create_subscription(AutopilotStatus, "autopilot", self.on_autopilot, qos.STREAM)
        self.create_subscription(Preflight, "preflight", self.on_preflight, qos.STATUS)
        self.create_subscription(SetPoint, "target", self.on_stream, qos.STREAM)
        for name, request in SERVICES.items():
            self.create_service(Trigger, name, partial(lambda request, _, answer: self.on_request(request, answer), request))
        self.create_service(SetTarget, "set_target", self.on_target)
        names = plug_ins.entries("flight_conditions")
        conditions = [plug_ins.load("flight_conditions", name, "a flight")(self) for name in names]
        self.watch, self.rival = GraphWatch(self, p.record, conditions), RivalWatch(self, "command")
        self.start_timer(1 / p.rate, self.on_period)
        self.get_logger().info("auto: arms and engages on its own" if p.auto else "passive: arms and engages when asked to")

    # --- what comes in ----------------------------------------------------------------------------------------------

    def on_state(self, message: FlightState) -> None:
        self.clock = self.clock.seen(1e-9 * nanoseconds(message.header.stamp), time.monotonic())
        output = self.step(sample=flight_messages.sample(message, self.now()))
        self.outputs.publish_set_point(output)
        if output.set_point is not None and output.rung is Rung.SNN and self.state.sample is not None:
            followed = None if self.settings.course else output.set_point.position
            self.tally = self.tally.saw(self.state.sample.position, followed)

    def on_answer(self, name: str, message: VehicleAction) -> None:
        received = self.clock.answered(1e-9 * nanoseconds(message.header.stamp), time.monotonic())
        self.step(**{name: flight_messages.answer(message, received)})

    def on_stream(self, message: SetPoint) -> None:
        self.step(stream=flight_messages.set_point(message))

    def on_period(self) -> None:  # a callback must return None: the executor takes anything else for a coroutine
        self.step()

    def on_autopilot(self, message: AutopilotStatus) -> None:
        self.autopilot, self.status_sent = flight_messages.status(message, self.now()), message.sent

    def on_preflight(self, message: Preflight) -> None:
        self.watch.audited(message, self.now())

    def on_request(self, request: Request, answer: Trigger.Response) -> Trigger.Response:
        events = answering(self.step(requests=(request,)).events, request)
        answer.success = not any(event.kind is EventKind.REFUSED for event in events)
        answer.message = "; ".join(map(sentence, events))
        return answer

    def on_target(self, request: SetTarget.Request, answer: SetTarget.Response) -> SetTarget.Response:
        try:
            events = self.step(target=flight_messages.target(request, self.settings.envelope)).events
            refusals = [sentence(event) for event in events if event.kind is EventKind.TARGET_REFUSED]
        except UsageError as error:
            refusals = [str(error)]
        answer.success, answer.message = not refusals, "; ".join(refusals)
        return answer

    # --- what is done -----------------------------------------------------------------------------------------------

    def now(self) -> float:
        return self.clock.now(time.monotonic())

    def step(self, **news: Any) -> SupervisorOutput:
        """One step of the supervisor with what is new, and everything that follows from it."""
        wall = time.monotonic()
        now = self.clock.now(wall)
        requests, asked = (*self.requests, *news.pop("requests", ())), news.pop("target", None)
        target, self.requests, self.target = asked or self.target, [], None
        known: dict[str, Any] = {"autopilot": self.autopilot, "reports": self.watch.reports, "unmet": self.watch.unmet(now)}
        inputs = SupervisorInputs(now, requests=requests, target=target, **known, **news)
        self.state, output = supervisor.step(self.state, inputs, self.settings)
        done = None
        if self.clock.paced:
            self.held, command, done = self.held.released(output.command, self.state, now, self.settings.answers)
            output = output._replace(command=command)
        self.tally = self.tally.passed(output.rung, now - self.stepped, wall - self.walked)
        self.stepped, self.walked, self.point = now, wall, output.set_point or self.point
        if self.rival.clear:
            self.outputs.publish(output, self.state.ladder, self.status_sent)
            self.count(output, now)
            if done is not None:
                self.outputs.tell_answered(done)
        if self.parameters.auto and not self.ending and not self.automatic.done:
            refused = [] if asked else [e for e in output.events if e.kind is EventKind.TARGET_REFUSED]
            self.fly_on(now, "; ".join(map(sentence, refused)))
        self.finished |= self.ending and output.finished
        return output

    def count(self, output: SupervisorOutput, now: float) -> None:
        command = output.command
        if command is not None and command.commander is CommandedBy.POLICY:
            latest = self.state.policy.latest
            rates = latest.spike_rate if latest is not None else ()
            self.tally = self.tally.sent(now - command.received, self.settings.state.period, rates)

    def fly_on(self, now: float, unflown: str) -> None:
        """The next step of the automatic flight, and its end. unflown: why its target was refused, in words."""
        airborne = self.autopilot is not None and self.autopilot.airborne
        known = (airborne, self.missing(), self.point, now, self.outputs.refusal, unflown)
        requests, target, phase = self.automatic.advance(self.state.ladder, *known)
        self.requests, self.target = [*self.requests, *requests], target or self.target
        self.outputs.asks_again = self.automatic.asks_again
        if phase:
            self.get_logger().info(f"auto: {phase}")
        if phase and self.automatic.done:
            self.finished = self.automatic.mission.succeeded
            self.failure = None if self.finished else f"automatic flight: {self.automatic.mission.failure}"

    def missing(self) -> str:
        """What the automatic flight still waits for, in words; "" where it may ask to take off."""
        if self.autopilot is None or self.state.sample is None:
            return NOT_HEARD
        if self.state.policy.latest is None:
            return NOT_ANSWERED
        return "" if self.state.monitor.answers else "the policy does not answer"

    def stopping(self) -> bool:
        """Told to end, it lands first: it commands until the autopilot has taken over. A second signal ends it at once."""
        if not self.ending:
            self.ending = True
            self.requests.append(Request.SHUT_DOWN)
            self.step()
        return not self.finished

    def close(self) -> None:
        print(self.tally, flush=True)


def main() -> None:
    sys.exit(run(Supervisor, above=2))
