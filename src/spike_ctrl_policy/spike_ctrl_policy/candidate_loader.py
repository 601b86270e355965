"""A new checkpoint in flight: it is loaded beside the control, flies in shadow, and takes over when it is accepted."""

import threading
from collections import deque
from collections.abc import Callable

from rclpy.node import Node
from spike_ctrl_msgs.msg import Acceptance, Checkpoint, VehicleAction, VehicleState

from spike_ctrl.policy.pilot import Flown, Pilot
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import action_message

YIELD = 5e-4  # s, instead of Python's 5 ms: the control may need the interpreter three times for a tick


class CandidateLoader:
    """load: gives the policy of a message, None where it is refused.

    It runs in a thread of its own, which has to hand over the interpreter within YIELD of being asked; the node's program
    sees to that. Offers are loaded one after the other, so that an old one never replaces a new one. Of those that come
    while one is loaded only the newest is.
    """

    def __init__(self, node: Node, pilot: Pilot, layout: str, load: Callable[[Checkpoint], Flown | None]):
        self.node, self.pilot, self.layout, self.load = node, pilot, layout, load
        self._loaded: deque[Flown] = deque()
        self._lock = threading.Lock()  # of the next two
        self._offer: Checkpoint | None = None
        self._loading = False
        self.action_out = node.create_publisher(VehicleAction, "candidate/action", qos.STREAM)
        node.create_subscription(Acceptance, "policy/acceptance", self.on_acceptance, qos.STATUS)

    def begin(self, message: Checkpoint) -> None:
        """Load this checkpoint next."""
        with self._lock:
            before, self._offer = self._offer, message
            starts, self._loading = not self._loading, True
        if before is not None:
            self.node.get_logger().info(f"{before.name} (epoch {before.epoch}) is not loaded: a newer one came")
        if starts:
            threading.Thread(target=self._load_offers, name="load", daemon=True).start()

    def _load_offers(self) -> None:
        while (message := self._next()) is not None:
            try:
                found = self.load(message)
            except Exception as error:  # the next one is loaded all the same
                self.node.get_logger().error(f"refused: {message.name}: {type(error).__name__}: {error}")
                continue
            if found is not None:
                self._loaded.append(found)

    def _next(self) -> Checkpoint | None:
        """The offer to load now; None: there is none, and the thread ends."""
        with self._lock:
            offer, self._offer = self._offer, None
            self._loading = offer is not None
            return offer

    def take(self) -> None:
        """Between two ticks: let what has been loaded fly in shadow."""
        while self._loaded:
            self.pilot.warm(self._loaded.popleft())

    def show(self, message: VehicleState) -> None:
        """Publish what the candidate would have answered to this state."""
        if (candidate := self.pilot.candidate_answer) is None:
            return
        flown, action, rates = candidate.flown, candidate.action, candidate.spike_rate
        self.action_out.publish(action_message(message, flown.epoch, flown.name, self.layout, action, rates))

    def on_acceptance(self, message: Acceptance) -> None:
        if self.pilot.accept(message.checkpoint_id, message.epoch):
            self.node.get_logger().info(f"{message.checkpoint_id} (epoch {message.epoch}) takes over")
