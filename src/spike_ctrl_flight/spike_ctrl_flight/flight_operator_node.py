"""flight_operator: sends one request to the supervisor, prints the answer, and ends with 0 where it was granted, else 1."""

import os
import sys
import time
from dataclasses import dataclass
from typing import Any

from rclpy.task import Future
from std_srvs.srv import Trigger

from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import setting, within
from spike_ctrl.flight.request import SERVICES, parse_place
from spike_ctrl_ros.declared_parameters import declare
from spike_ctrl_ros.node import ProcessNode
from spike_ctrl_ros.spin import run

PERIOD = 0.05  # s


@dataclass(frozen=True)
class Parameters:
    request: str = setting("land", "What it asks of supervisor or adapter.", choices=(*SERVICES, "adapt", "set_target"))
    trajectory: str = setting("", "Trajectory of set_target; empty: hold the point.")
    setpoint: str = setting("", "Point of set_target, or centre of its trajectory, m: x,y,z or x,y,z,yaw (ENU, rad).")
    size: float = within(0.0, 0.0, 50.0, "Size of the trajectory; 0: its default.", "m")
    period: float = within(0.0, 0.0, 600.0, "Time of a round of the trajectory; 0: its default.", "s")
    patience: float = within(5.0, 0.1, 60.0, "Longest wait for the supervisor.", "s")


class FlightOperator(ProcessNode):
    def __init__(self) -> None:
        super().__init__("flight_operator")
        p = self.parameters = declare(self, Parameters)
        self.started = time.monotonic()
        self.future: Future | None = None
        self.question: Any
        if p.request == "set_target":
            # These bring numpy, for which no other request waits.
            from spike_ctrl_msgs.srv import SetTarget

            from spike_ctrl_ros.convert import fill

            if not p.setpoint:
                raise UsageError("parameter 'setpoint': found nothing, wanted x,y,z or x,y,z,yaw")
            position, yaw = parse_place(p.setpoint)
            about: dict[str, Any] = {"trajectory": p.trajectory, "yaw": yaw, "size": p.size, "period": p.period}
            self.question = fill(SetTarget.Request(), position=list(position), **about)
            self.client = self.create_client(SetTarget, "set_target")
        else:
            self.question, self.client = Trigger.Request(), self.create_client(Trigger, p.request)
        self.start_timer(PERIOD, self.ask)

    def ask(self) -> None:
        if self.future is None and self.client.service_is_ready():
            self.future = self.client.call_async(self.question)
        if self.future is not None and self.future.done():
            answer = self.future.result()
            if answer.success:
                print(answer.message or "granted", flush=True)
                self.finished = True
            else:
                self.failure = answer.message
        elif time.monotonic() - self.started > self.parameters.patience:
            domain = os.environ.get("ROS_DOMAIN_ID", "0")
            who = "adapter" if self.parameters.request == "adapt" else "supervisor"
            places = [space for name, space in self.get_node_names_and_namespaces() if name == who]
            hint = f"; there is one in {' and '.join(sorted(places))}: --namespace" if places else ""
            where = f"in ROS domain {domain}, namespace {self.get_namespace()}"
            self.failure = f"no {who} answers {where}, wanted one within {self.parameters.patience:g} s{hint}"


def main() -> None:
    sys.exit(run(FlightOperator))
