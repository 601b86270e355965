"""guide_policy: the privileged guide; answers each state with an action for every vehicle.

In training it is the guide that the recipe names. In flight it is the geometric one, which backs the policy up.
"""

import sys

import numpy as np
from spike_ctrl_msgs.msg import VehicleAction, VehicleState
from std_msgs.msg import Float64MultiArray

from spike_ctrl import airframe
from spike_ctrl.control.guide_protocol import Guide
from spike_ctrl.control.lost_rotor import LostRotorGuide, flight_guide, told_rotors
from spike_ctrl.learn import recipe, teacher
from spike_ctrl_guide.guide_parameters import GuideParameters
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import MessageError, action_message, view
from spike_ctrl_ros.declared_parameters import declare
from spike_ctrl_ros.node import ProcessNode, RivalWatch
from spike_ctrl_ros.spin import run


class GuidePolicy(ProcessNode):
    def __init__(self) -> None:
        super().__init__("guide_policy")
        p = self.parameters = declare(self, GuideParameters)
        self.stays_for = "command" if p.flight else ""  # the supervisor's, which may need an answer
        vehicle, plan = airframe.load(p.airframe), recipe.find(p.recipe)
        self.guide: Guide
        if p.flight:
            self.guide = flight_guide(vehicle, teacher.gains(plan), p.rate)
        else:
            self.guide = teacher.make(plan, vehicle, p.rate)
        self.layout = vehicle.action_layout
        # Compiles the kernel, where it is not in the cache: the simulator waits for a start, not for an answer.
        one = [np.zeros((1, width), np.float32) for width in (18, 4, 6)]
        for privileged in (one[1:], (None, None)):
            self.guide.act(one[0], self.guide.initial_state(1), *privileged)
        self.rotors: dict[str, np.ndarray] = {}  # what is told of them, where one is lost
        if isinstance(self.guide, LostRotorGuide):
            self.guide.act(one[0], self.guide.initial_state(1), effectiveness=np.array([[0, 1, 1, 1]], np.float32))
            self.create_subscription(Float64MultiArray, "rotors", self.on_rotors, qos.STREAM)
        self.state, self.vehicles = self.guide.initial_state(0), 0
        self.answer: VehicleAction | None = None
        stream = qos.STREAM if p.flight else qos.LOCKSTEP
        self.action_out = self.create_publisher(VehicleAction, "guide/action", stream)
        self.create_subscription(VehicleState, "state", self.on_state, stream)
        self.rival = RivalWatch(self, "guide/action")

    def on_rotors(self, message: Float64MultiArray) -> None:
        """What the supervisor tells of the rotors of one vehicle: that one is lost or suspected, or that all are whole."""
        numbers = np.array(message.data, np.float32)
        if numbers.shape == (12,) and np.isfinite(numbers).all():
            self.rotors = told_rotors(numbers)

    def on_state(self, message: VehicleState) -> None:
        if not self.rival.clear:
            return
        if self.answer is None or self.answer.tick != message.tick:
            try:
                seen = view(message)
            except MessageError as error:
                self.get_logger().warning(f"not answered: {error}", throttle_duration_sec=1.0)
                return
            privileged = seen.rotor_speed, seen.disturbance, seen.plant  # which only a simulator knows
            if self.vehicles != message.vehicles:
                self.state, self.vehicles = self.guide.initial_state(message.vehicles), message.vehicles
            first = (seen.flags & VehicleState.FIRST) > 0
            if first.any():
                self.rotors = {}
            self.state = self.guide.reset_rows(self.state, first)
            known = () if self.parameters.flight else privileged
            action, after = self.guide.act(seen.observation, self.state, *known, **self.rotors)
            if self.parameters.flight:
                # The errors that another leaves in flight are not the guide's to integrate: it would wind up.
                after = np.where((seen.flags & VehicleState.GUIDE)[:, None] > 0, after, self.state)
            self.state = after
            self.answer = action_message(message, message.epoch, "guide", self.layout, action)
        self.action_out.publish(self.answer)


def main() -> None:
    sys.exit(run(GuidePolicy))
