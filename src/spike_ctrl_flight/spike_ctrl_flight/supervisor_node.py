"""supervisor: decides who flies and is the only source of commands.

It comes up passive: it never arms and never engages unless the operator asks it to, or `auto` is set. Services take_off,
guide, engage, disengage, land (std_srvs/Trigger) and set_target; `target` is a stream of set-points. With `auto` it flies
on its own what a simulation is to show: take-off, policy, trajectory, landing; then it ends, with 0 if the policy flew it.
"""

import secrets
import sys
import time
from dataclasses import dataclass
from functools import partial

from rclpy.node import Node
from spike_ctrl_msgs.msg import (
    Acceptance,
    AutopilotRequest,
    AutopilotStatus,
    FlightCommand,
    FlightState,
    Preflight,
    SetPoint,
    SupervisorStatus,
    VehicleAction,
)  # fmt: skip
from spike_ctrl_msgs.srv import SetTarget
from std_srvs.srv import Trigger

from spike_ctrl.airframe import Airframe
from spike_ctrl.control.trajectory import TrajectoryError
from spike_ctrl.flight import supervisor
from spike_ctrl.flight.command_choice import CommandedBy
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.flight_settings import FlightSettings
from spike_ctrl.flight.flight_statistics import Tally
from spike_ctrl.flight.operator_requests import Request
from spike_ctrl.flight.supervisor_state import SupervisorInputs, SupervisorOutput, SupervisorState
from spike_ctrl.px4.preflight import Wanted
from spike_ctrl_flight import flight_messages
from spike_ctrl_flight.automatic import Automatic
from spike_ctrl_flight.flight_parameters import FlightOptions, limits, must_fit
from spike_ctrl_flight.graph_watch import Watch
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill
from spike_ctrl_ros.declared_parameters import declare, parameter
from spike_ctrl_ros.rival import RivalWatch
from spike_ctrl_ros.spin import run
from spike_ctrl_ros.timer import start_timer

SERVICES = {request.name.lower(): request for request in Request if request is not Request.SHUT_DOWN}
ANSWERS = {"policy/action": "policy", "guide/action": "guide", "candidate/action": "candidate"}


@dataclass(frozen=True)
class Parameters(FlightOptions):
    model: str = parameter("", "Checkpoint that must fit the vehicle, the one that snn_policy flies; empty: not looked at.")
    auto: bool = parameter(False, "Arm, take off, engage the policy, fly the trajectory and land without being asked.")
    trajectory: str = parameter("hover", "Of the automatic flight, one after the other: KIND[:SIZE[:PERIOD]],...")
    setpoint: str = parameter("", "Its centre, m: x,y,z or x,y,z,yaw (ENU, rad); empty: where the take-off ended.")
    size: float = parameter(0.0, "m, of a trajectory that names none; 0: its default.", low=0.0, high=50.0)
    period: float = parameter(0.0, "s, of a round, where it names none; 0: its default.", low=0.0, high=600.0)
    duration: float = parameter(20.0, "s that the policy flies each trajectory.", low=0.1, high=3600.0)
    record: bool = parameter(False, "A recorder belongs to this flight: say so when it is gone.")


def planned(p: Parameters) -> tuple[Airframe, FlightSettings, Wanted, Automatic]:
    """What is flown, within which limits, and the automatic flight. Raises ParameterError for what cannot be flown."""
    vehicle, settings, wanted = limits(p)
    if p.model:
        must_fit(p.model, vehicle, p.rate)
    return vehicle, settings, wanted, Automatic(p, settings.envelope)


class Supervisor(Node):
    def __init__(self):
        super().__init__("supervisor")
        p = self.parameters = declare(self, Parameters)
        self.airframe, self.settings, self.wanted, self.automatic = planned(p)
        self.state, self.tally = SupervisorState(), Tally()
        self.requests, self.target, self.autopilot, self.status_sent = [], None, None, 0
        self.point, self.accepted = None, None
        self.source = secrets.randbits(63) + 1  # 0 is who does not know of it
        self.stepped, self.refusal, self.ending, self.finished = time.monotonic(), "", False, False
        self.command_out = self.create_publisher(FlightCommand, "command", qos.STREAM)
        self.request_out = self.create_publisher(AutopilotRequest, "autopilot_request", qos.STATUS)
        self.acceptance_out = self.create_publisher(Acceptance, "policy/acceptance", qos.STATUS)
        self.set_point_out = self.create_publisher(SetPoint, "set_point", qos.STREAM)
        self.status_out = self.create_publisher(SupervisorStatus, "supervisor/status", qos.STATUS)
        for topic, name in ANSWERS.items():
            self.create_subscription(VehicleAction, topic, partial(self.on_answer, name), qos.STREAM)
        self.create_subscription(FlightState, "flight_state", self.on_state, qos.STREAM)
        self.create_subscription(AutopilotStatus, "autopilot", self.on_autopilot, qos.STREAM)
        self.create_subscription(Preflight, "preflight", self.on_preflight, qos.STATUS)
        self.create_subscription(SetPoint, "target", self.on_stream, qos.STREAM)
        for name, request in SERVICES.items():
            self.create_service(Trigger, name, lambda _, answer, request=request: self.on_request(request, answer))
        self.create_service(SetTarget, "set_target", self.on_target)
        self.watch, self.rival = Watch(self, p.record), RivalWatch(self, "command")
        start_timer(self, 1 / p.rate, self.on_period)
        self.get_logger().info("auto: arms and engages on its own" if p.auto else "passive: arms and engages when asked to")

    # What comes

    def on_state(self, message: FlightState) -> None:
        output = self.step(sample=flight_messages.sample(message, time.monotonic()))
        if output.set_point is not None:
            self.set_point_out.publish(flight_messages.point_message(output.set_point, self.source, time.time_ns()))
            if output.rung is Rung.SNN and self.state.sample is not None:
                self.tally = self.tally.saw(self.state.sample.position, output.set_point.position)

    def on_answer(self, name: str, message: VehicleAction) -> None:
        self.step(**{name: flight_messages.answer(message, time.monotonic())})

    def on_stream(self, message: SetPoint) -> None:
        self.step(stream=flight_messages.point(message))

    def on_period(self) -> None:  # the executor takes what a callback returns for a coroutine
        self.step()

    def on_autopilot(self, message: AutopilotStatus) -> None:
        self.autopilot, self.status_sent = flight_messages.status(message, time.monotonic()), message.sent

    def on_preflight(self, message: Preflight) -> None:
        self.watch.audited(message, time.monotonic())

    def on_request(self, request: Request, answer: Trigger.Response) -> Trigger.Response:
        events = self.step(requests=(request,)).events
        refusals = [event.text for event in events if event.text.startswith("refused")]
        answer.success, answer.message = not refusals, "; ".join(refusals or [event.text for event in events])
        return answer

    def on_target(self, request: SetTarget.Request, answer: SetTarget.Response) -> SetTarget.Response:
        try:
            events = self.step(target=flight_messages.target(request, self.settings.envelope)).events
            refusals = [event.text for event in events if event.text.startswith("set-point refused")]
        except TrajectoryError as error:
            refusals = [str(error)]
        answer.success, answer.message = not refusals, "; ".join(refusals)
        return answer

    # What is done

    def step(self, **news) -> SupervisorOutput:
        now = time.monotonic()
        requests, target = (*self.requests, *news.pop("requests", ())), news.pop("target", None) or self.target
        self.requests, self.target = [], None
        about = {"autopilot": self.autopilot, "reports": self.watch.reports, "unmet": self.watch.unmet(now)}
        self.state, output = supervisor.step(
            self.state, SupervisorInputs(now, requests=requests, target=target, **about, **news), self.settings
        )
        self.tally = self.tally.passed(output.rung, now - self.stepped)
        self.stepped, self.point = now, output.set_point or self.point
        self.act(output, now)
        if self.parameters.auto and not self.ending and not self.automatic.done:
            self.fly_on(now)
        self.finished |= self.ending and output.finished
        return output

    def act(self, output: SupervisorOutput, now: float) -> None:
        if not self.rival.clear:
            return
        if (chosen := output.command) is not None:
            self.command_out.publish(
                flight_messages.command_message(chosen, self.settings.layout, self.source, time.time_ns())
            )
            if chosen.commander is CommandedBy.POLICY:
                rates = self.state.policy.latest.spike_rate
                self.tally = self.tally.sent(now - chosen.received, self.settings.state.period, rates)
        if output.ask is not None:
            request = getattr(AutopilotRequest, output.ask.name)
            about = {"source": self.source, "status_sent": self.status_sent}
            asked = fill(AutopilotRequest(), stamp=time.time_ns(), request=request, **about)
            self.request_out.publish(asked)
        if output.accept is not None and output.accept != self.accepted:
            self.acceptance_out.publish(fill(Acceptance(), stamp=time.time_ns(), **output.accept._asdict()))
        self.accepted = output.accept
        log = self.get_logger()
        for event in output.events:
            if event.text == self.refusal:
                continue  # the automatic flight asks until it may
            self.refusal = event.text if event.text.startswith("refused") else self.refusal
            if event.severity == "error":  # a line for each: rclpy wants one severity per line
                log.error(event.text)
            elif event.severity == "warning":
                log.warning(event.text)
            else:
                log.info(event.text)
        if output.status is not None:
            log.info(output.status)
        if output.status is not None or output.events:
            self.status_out.publish(flight_messages.supervisor_status(self.state.ladder, output, time.time_ns()))

    def fly_on(self, now: float) -> None:
        """The next step of the automatic flight, and its end."""
        airborne = self.autopilot is not None and self.autopilot.airborne
        about = (airborne, self.state.monitor.answers > 0, self.point, now, self.refusal)
        requests, target, phase = self.automatic.advance(self.state.ladder, *about)
        self.requests, self.target = [*self.requests, *requests], target or self.target
        if phase:
            self.get_logger().info(f"auto: {phase}")
        if phase and self.automatic.done:
            self.finished = self.automatic.auto.succeeded
            self.failure = None if self.finished else f"automatic flight: {self.automatic.auto.failure}"

    def stopping(self) -> bool:
        """Told to end: land first, with commands until the autopilot has taken over; a second signal ends at once."""
        if not self.ending:
            self.ending = True
            self.requests.append(Request.SHUT_DOWN)
            self.step()
        return not self.finished

    def close(self) -> None:
        print(self.tally, flush=True)


def main():
    sys.exit(run(Supervisor, above=2))
