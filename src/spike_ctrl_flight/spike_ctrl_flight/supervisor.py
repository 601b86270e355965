"""supervisor: decides who flies and is the only source of commands.

It comes up passive: it never arms and never engages unless the operator asks it to, or `auto` is set. Services take_off,
guide, engage, disengage, land (std_srvs/Trigger) and set_target; `target` is a stream of set-points. With `auto` it flies
on its own what a simulation is to show: take-off, policy, trajectory, landing; then it ends, with 0 if the policy flew it.
"""

import sys
import time
from dataclasses import dataclass, replace

from rclpy.node import Node
from spike_ctrl_msgs.msg import (
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

from spike_ctrl import auto_flight, checkpoint, preflight, supervisor
from spike_ctrl.auto_flight import Auto, Phase, Plan
from spike_ctrl.checkpoint import CheckpointError
from spike_ctrl.command import Commander
from spike_ctrl.fault import Fault, Finding, Rung
from spike_ctrl.flight_tally import Tally
from spike_ctrl.ladder import Request
from spike_ctrl.supervisor import Inputs, Output, State
from spike_ctrl.trajectory import KINDS, Trajectory, TrajectoryError
from spike_ctrl_flight import heard
from spike_ctrl_flight.options import Options, limits, numbers
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import fill
from spike_ctrl_ros.parameters import ParameterError, declare, parameter
from spike_ctrl_ros.rival import RivalWatch
from spike_ctrl_ros.spin import run

LOOK, PREFLIGHT_AGE = 0.2, 3.0  # s
OURS = {"flight_state": 1, "state": 1, "autopilot": 1, "guide/action": 1, "policy/action": 1, "command": 1}
COMMANDING = ("flight_state", "state", "guide/action", "policy/action", "command")
SERVICES = {request.name.lower(): request for request in Request if request is not Request.SHUT_DOWN}


@dataclass(frozen=True)
class Parameters(Options):
    model: str = parameter("", "Checkpoint that must fit the vehicle, the one that snn_policy flies; empty: not looked at.")
    auto: bool = parameter(False, "Arm, take off, engage the policy, fly the trajectory and land without being asked.")
    trajectory: str = parameter("hover", "What the automatic flight follows.", choices=KINDS)
    setpoint: str = parameter("", "Its centre, m: x,y,z or x,y,z,yaw (ENU, rad); empty: where the take-off ended.")
    size: float = parameter(0.0, "m, of the trajectory; 0: its default.", low=0.0, high=50.0)
    period: float = parameter(0.0, "s, of a round of the trajectory; 0: its default.", low=0.0, high=600.0)
    duration: float = parameter(20.0, "s that the policy flies in an automatic flight.", low=0.1, high=3600.0)
    record: bool = parameter(False, "A recorder belongs to this flight: say so when it is gone.")


class Supervisor(Node):
    def __init__(self):
        super().__init__("supervisor")
        p = self.parameters = declare(self, Parameters)
        self.airframe, self.settings, self.wanted = limits(p)
        self.check_model(p)
        self.centre = numbers(p.setpoint, (3, 4), "setpoint", "x,y,z or x,y,z,yaw") if p.setpoint else None
        try:
            centre, yaw = ((0.0, 0.0, p.height), 0.0) if self.centre is None else (self.centre[:3], sum(self.centre[3:]))
            path = heard.shape(p.trajectory, centre, yaw, p.size, p.period, end=p.duration)
        except TrajectoryError as error:
            raise ParameterError(str(error)) from None
        self.plan, self.auto, self.state, self.tally = Plan(path, p.duration), Auto(), State(), Tally()
        self.requests: list[Request] = []
        self.target, self.autopilot, self.preflight, self.reports, self.point = None, None, None, (), None
        self.stepped = time.monotonic()
        self.counted, self.warned, self.ending, self.finished = None, False, False, False
        self.refusal = ""
        self.command_out = self.create_publisher(FlightCommand, "command", qos.STREAM)
        self.request_out = self.create_publisher(AutopilotRequest, "autopilot_request", qos.STATUS)
        self.set_point_out = self.create_publisher(SetPoint, "set_point", qos.STREAM)
        self.status_out = self.create_publisher(SupervisorStatus, "supervisor/status", qos.STATUS)
        for kind, topic, name in ((VehicleAction, "policy/action", "policy"), (VehicleAction, "guide/action", "guide"),
                                  (VehicleAction, "candidate/action", "candidate")):  # fmt: skip
            self.create_subscription(kind, topic, lambda message, name=name: self.on_answer(name, message), qos.STREAM)
        self.create_subscription(FlightState, "flight_state", self.on_state, qos.STREAM)
        self.create_subscription(AutopilotStatus, "autopilot", self.on_autopilot, qos.STREAM)
        self.create_subscription(Preflight, "preflight", self.on_preflight, qos.STATUS)
        self.create_subscription(SetPoint, "target", self.on_stream, qos.STREAM)
        for name, request in SERVICES.items():
            self.create_service(Trigger, name, lambda _, answer, request=request: self.on_request(request, answer))
        self.create_service(SetTarget, "set_target", self.on_target)
        self.rival = RivalWatch(self, "command")
        self.create_timer(1 / p.rate, self.on_period)
        self.create_timer(LOOK, self.look)
        self.get_logger().info("auto: arms and engages on its own" if p.auto else "passive: arms and engages when asked to")

    def check_model(self, p: Parameters) -> None:
        if p.model:
            try:
                contract = checkpoint.load(p.model).manifest.contract
            except CheckpointError as error:
                raise ParameterError(str(error)) from None
            for unmet in preflight.audit_contract(contract, self.airframe, p.rate, self.settings.layout):
                raise ParameterError(f"{p.model}: {unmet}")

    # What comes

    def on_state(self, message: FlightState) -> None:
        sample = heard.sample(message, time.monotonic())
        output = self.step(sample=sample)
        if (point := output.set_point) is not None:
            fields = {"position": point.position, "velocity": point.velocity, "yaw": point.yaw}
            self.set_point_out.publish(fill(SetPoint(), stamp=time.time_ns(), frame_id="odom", **fields))
            if output.rung is Rung.SNN and self.state.sample is not None:
                self.tally = self.tally.saw(self.state.sample.position, point.position)

    def on_answer(self, name: str, message: VehicleAction) -> None:
        self.step(**{name: heard.answer(message, time.monotonic())})

    def on_stream(self, message: SetPoint) -> None:
        self.step(stream=heard.point(message))

    def on_period(self) -> None:  # the executor takes what a callback returns for a coroutine
        self.step()

    def on_autopilot(self, message: AutopilotStatus) -> None:
        self.autopilot = heard.status(message, time.monotonic())

    def on_preflight(self, message: Preflight) -> None:
        self.preflight = (time.monotonic(), tuple(message.unmet))
        for text in () if self.warned else message.warnings:
            self.get_logger().warning(f"preflight: {text}")
        self.warned = True

    def on_request(self, request: Request, answer: Trigger.Response) -> Trigger.Response:
        events = self.step(requests=(request,)).events
        refusals = [event.text for event in events if event.text.startswith("refused")]
        answer.success, answer.message = not refusals, "; ".join(refusals or [event.text for event in events])
        return answer

    def on_target(self, request: SetTarget.Request, answer: SetTarget.Response) -> SetTarget.Response:
        try:
            events = self.step(target=heard.target(request)).events
            refusals = [event.text for event in events if event.text.startswith("set-point refused")]
        except TrajectoryError as error:
            refusals = [str(error)]
        answer.success, answer.message = not refusals, "; ".join(refusals)
        return answer

    def look(self) -> None:
        """Who else is there: a second publisher bars the policy, a lost recorder is told."""
        counts = {topic: self.count_publishers(topic) for topic in OURS}
        self.counted = preflight.audit_publishers(counts, OURS)
        many = [f"{topic}: found {counts[topic]}, wanted 1" for topic in COMMANDING if counts[topic] > 1]
        reports = [Finding(Fault.SECOND_PUBLISHER, "; ".join(many))] if many else []
        if self.parameters.record and "recorder" not in self.get_node_names():
            reports.append(Finding(Fault.RECORDER_LOST, "node recorder is not there"))
        self.reports = tuple(reports)

    def unmet(self, now: float) -> tuple[str, ...] | None:
        if self.preflight is None or now - self.preflight[0] > PREFLIGHT_AGE or self.counted is None:
            return None
        return self.preflight[1] + tuple(map(str, self.counted))

    # What is done

    def step(self, **news) -> Output:
        now = time.monotonic()
        requests, target = (*self.requests, *news.pop("requests", ())), news.pop("target", None) or self.target
        self.requests, self.target = [], None
        about = {"autopilot": self.autopilot, "reports": self.reports, "unmet": self.unmet(now)}
        self.state, output = supervisor.step(
            self.state, Inputs(now, requests=requests, target=target, **about, **news), self.settings
        )
        self.tally = self.tally.passed(output.rung, now - self.stepped)
        self.stepped, self.point = now, output.set_point or self.point
        self.act(output, now)
        if self.parameters.auto and not self.ending:
            self.fly_on(now)
        self.finished |= self.ending and output.finished
        return output

    def act(self, output: Output, now: float) -> None:
        if not self.rival.clear:
            return
        if (chosen := output.command) is not None:
            self.command_out.publish(heard.command_message(chosen, self.settings.layout, time.time_ns()))
            if chosen.commander is Commander.POLICY:
                rates = self.state.policy.latest.spike_rate
                self.tally = self.tally.sent(now - chosen.received, self.settings.state.period, rates)
        if output.ask is not None:
            request = getattr(AutopilotRequest, output.ask.name)
            self.request_out.publish(fill(AutopilotRequest(), stamp=time.time_ns(), request=request))
        log = self.get_logger()
        for event in output.events:
            if event.text == self.refusal:  # the automatic flight asks until it may
                continue
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
            self.tell(output)

    def tell(self, output: Output) -> None:
        rungs, events = self.state.ladder, [f"{event.severity}: {event.text}" for event in output.events]
        about = {"rung": int(output.rung), "reason": rungs.reason, "wanted": rungs.wanted, "text": output.status or ""}
        about["latched"] = rungs.latched.fault.number if rungs.latched is not None else 0
        about["checkpoint_id"] = rungs.approved.checkpoint_id if rungs.approved is not None else ""
        self.status_out.publish(fill(SupervisorStatus(), stamp=time.time_ns(), events=events, **about))

    def fly_on(self, now: float) -> None:
        """The next step of the automatic flight, and its end."""
        before = self.auto.phase
        airborne = self.autopilot is not None and self.autopilot.airborne
        self.auto, requests, target = auto_flight.advance(self.auto, self.state.ladder, airborne, now, self.plan)
        self.requests.extend(requests)
        if isinstance(target, Trajectory) and self.centre is None and self.point is not None:
            target = replace(target, centre=self.point.position, yaw=self.point.yaw)
        self.target = target or self.target
        if self.auto.phase is before:
            return
        self.get_logger().info(f"auto: {self.auto.phase.value}")
        if self.auto.phase is Phase.DONE:
            print(self.tally, flush=True)
            self.finished = self.auto.succeeded
            self.failure = None if self.auto.succeeded else f"automatic flight: {self.auto.failure}"

    def stopping(self) -> bool:
        """Told to end: land first, with commands until the autopilot has taken over; a second signal ends at once."""
        if not self.ending:
            self.ending = True
            self.requests.append(Request.SHUT_DOWN)
            self.step()
        return not self.finished

    def close(self) -> None:
        if not self.parameters.auto or self.auto.phase is not Phase.DONE:
            print(self.tally, flush=True)


def main():
    sys.exit(run(Supervisor))
