"""recorder: writes the serialized messages of the graph to a rosbag2 bag.

It subscribes with the QoS that all publishers of a topic offer, and decodes no message. Once a second it hands its data to
the operating system, so that a kill loses one second at most. Where the disk is full or cannot be written, it reports an
error in the diagnostics, unsubscribes and stays; no other node is affected. It says so again at its end, with exit code 74.
"""

import os
import shutil
import sys
import time
from functools import partial
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rclpy.event_handler import QoSMessageLostInfo, SubscriptionEventCallbacks
from rclpy.exceptions import InvalidTopicNameException
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.validate_topic_name import validate_topic_name
from rosgraph_msgs.msg import Clock
from spike_ctrl_msgs.msg import Checkpoint, JumpStart, PolicyStatus, TrainingStatus, Transition, VehicleAction, VehicleState

from spike_ctrl._files import resources
from spike_ctrl._files.errors import UsageError
from spike_ctrl.recordings import BagError, message_definitions
from spike_ctrl.recordings.writer import BagWriter
from spike_ctrl_record.publishers import message_class, offered, profile, type_name
from spike_ctrl_record.recording_parameters import RecorderParameters
from spike_ctrl_ros import qos
from spike_ctrl_ros.declared_parameters import declare
from spike_ctrl_ros.node import ProcessNode
from spike_ctrl_ros.spin import run
from spike_ctrl_ros.standard_topics import diagnostics

# Topics that are recorded from the start. Where their publishers offer another QoS, `look` subscribes again.
KNOWN = {
    "state": (VehicleState, qos.LOCKSTEP),
    "guide/action": (VehicleAction, qos.LOCKSTEP),
    "policy/action": (VehicleAction, qos.LOCKSTEP),
    "policy/status": (PolicyStatus, qos.STATUS),
    "policy/checkpoint": (Checkpoint, qos.CHECKPOINTS),
    "policy/model": (Checkpoint, qos.CHECKPOINTS),
    "transition": (Transition, qos.LOCKSTEP),
    "jump_start": (JumpStart, qos.LOCKSTEP),
    "training/status": (TrainingStatus, qos.STATUS),
    "odometry": (Odometry, qos.STREAM),
    "clock": (Clock, qos.STREAM),
    "diagnostics": (DiagnosticArray, qos.STATUS),
}
FLIGHT = (
    "command", "supervisor/status", "supervisor/settings", "flight_state", "autopilot", "autopilot_request", "set_point",
    "preflight", "candidate/action", "policy/acceptance", "battery", "rotors",
)  # fmt: skip
PERIOD = 1.0  # s between flushes and diagnostics
MEGABYTE = 1_000_000


class Recorder(ProcessNode):
    def __init__(self) -> None:
        super().__init__("recorder")
        self.parameters = p = declare(self, RecorderParameters)
        self.store, self.prefixes = message_definitions.standard(), resources.prefixes(os.environ)
        named = p.topics.replace(",", " ").split()
        for name in named:
            try:
                validate_topic_name(name)
            except InvalidTopicNameException:
                raise UsageError(f"parameter 'topics': found '{name}', wanted names of topics") from None
        self.space = self.get_namespace().rstrip("/")
        path = Path(p.bag or time.strftime("bags/%Y%m%d-%H%M%S") + self.space.replace("/", "-"))
        try:
            self.writer = BagWriter(path, self.store, max_bytes=int(p.segment_mb * MEGABYTE))
        except BagError as error:
            raise UsageError(f"parameter 'bag': {error}") from None
        self.why, self.lost = "", 0
        self.heard: dict[str, tuple[Subscription, tuple[ReliabilityPolicy, DurabilityPolicy]]] = {}
        self.unknown: set[str] = set()
        self.every = named == ["all"]
        self.wanted = {self.resolve_topic_name(name) for name in (named if named and not self.every else (*KNOWN, *FLIGHT))}
        for name, (kind, known) in KNOWN.items():
            known = qos.STREAM if p.flight and known is qos.LOCKSTEP else known
            if self.resolve_topic_name(name) in self.wanted:
                self.listen(self.resolve_topic_name(name), kind, known.reliability, known.durability)
        self.diagnostics_out = self.create_publisher(DiagnosticArray, "diagnostics", qos.STATUS)
        self.start_timer(0.1, self.look)
        self.start_timer(PERIOD, self.flush)
        self.get_logger().info(f"recording to {path}")

    def look(self) -> None:
        """Subscribe to wanted topics that have appeared, with the QoS of their publishers."""
        if self.why:
            return
        for topic, kinds in self.get_topic_names_and_types():
            named = topic in self.wanted or (self.every and topic.startswith(f"{self.space}/"))
            publishers = self.get_publishers_info_by_topic(topic) if named else []
            if not publishers or topic in self.unknown:
                continue
            wanted = offered([publisher.qos_profile for publisher in publishers])
            if topic in self.heard and self.heard[topic][1] == wanted:
                continue
            try:
                self.listen(topic, message_class(kinds[0]), *wanted)
            except (ImportError, AttributeError, BagError) as error:
                self.unknown.add(topic)
                self.get_logger().error(f"{topic}: not recorded: its type {kinds[0]} is not installed ({error})")

    def listen(self, topic: str, kind: type, reliability: ReliabilityPolicy, durability: DurabilityPolicy) -> None:
        message_definitions.add(self.store, type_name(kind), self.prefixes)
        if topic in self.heard:
            self.destroy_subscription(self.heard[topic][0])
        asked = QoSProfile(depth=qos.LOCKSTEP_DEPTH, reliability=reliability, durability=durability)
        events = SubscriptionEventCallbacks(message_lost=self.on_lost, use_default_callbacks=False)
        take = partial(self.on_message, topic, kind)
        subscription = self.create_subscription(kind, topic, take, asked, raw=True, event_callbacks=events)
        self.heard[topic] = subscription, (reliability, durability)

    def on_message(self, topic: str, kind: type, data: bytes) -> None:
        received = time.time_ns()
        if self.why:
            return
        try:
            if topic not in self.writer.topics:
                profiles = [profile(publisher.qos_profile) for publisher in self.get_publishers_info_by_topic(topic)]
                self.writer.add_topic(topic, type_name(kind), list(dict.fromkeys(profiles)))
            self.writer.write(topic, received, data)
        except BagError as error:
            self.stop(str(error))

    def on_lost(self, event: QoSMessageLostInfo) -> None:
        self.lost += event.total_count_change

    def flush(self) -> None:
        if not self.why:
            try:
                self.writer.flush()
                free = shutil.disk_usage(self.writer.path).free / MEGABYTE
                if free < self.parameters.reserve_mb:
                    self.stop(f"the disk has {free:.0f} MB left, wanted reserve_mb = {self.parameters.reserve_mb:.0f}")
            except (BagError, OSError) as error:
                self.stop(str(error))
        self.diagnose()

    def stop(self, why: str) -> None:
        """Stop recording. The bag is closed where that is still possible."""
        self.why, self.exit_code = f"recording stopped: {why}", os.EX_IOERR
        self.get_logger().error(self.why)
        for subscription, _ in self.heard.values():
            self.destroy_subscription(subscription)
        self.finish()

    def finish(self) -> None:
        try:
            self.writer.close()
        except BagError as error:
            self.writer.abandon()
            self.get_logger().error(f"{error}; get it back with: spike-ctrl repair {self.writer.path}")

    def diagnose(self) -> None:
        message = self.why or (f"{self.lost} messages lost" if self.lost else "recording")
        values = {"bag": self.writer.path, "messages": self.writer.messages, "bytes": self.writer.bytes, "lost": self.lost}
        self.diagnostics_out.publish(diagnostics(self, message, values, warn=self.lost > 0, error=bool(self.why)))

    def close(self) -> None:
        if self.why:
            print(f"error: {self.why}; the bag lacks the rest", file=sys.stderr, flush=True)
        else:
            self.finish()
            print(f"bag: {self.writer.path}, {self.writer.messages} messages, {self.lost} lost", flush=True)


def main() -> None:
    sys.exit(run(Recorder))
