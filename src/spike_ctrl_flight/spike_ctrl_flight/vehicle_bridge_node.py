"""vehicle_bridge: the only node that speaks with the autopilot.

It turns each ODOMETRY into a state with a tick of its own: for the supervisor as it is; for guide and policy as the
observation relative to the supervisor's set-point, unless a check refuses the state. It sends those commands of the
supervisor that answer a fresh state, each once. Of its own it sends one command: the level attitude when it ends in the
air. It arms only when it is asked to.
"""

import sys
import threading
import time

from nav_msgs.msg import Odometry
from spike_ctrl_msgs.msg import AutopilotRequest, AutopilotStatus, FlightCommand, FlightState, SetPoint, VehicleState
from std_msgs.msg import UInt64

from spike_ctrl.flight import attitude, bridge, setpoint
from spike_ctrl.flight.autopilot import Mode
from spike_ctrl.flight.flight_clock import FlightClock
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.px4 import parameter_rules
from spike_ctrl.px4.companion import Companion
from spike_ctrl.px4.connection import Connection, Sender
from spike_ctrl.px4.frames import from_yaw
from spike_ctrl.px4.link import Link
from spike_ctrl.px4.signing import Signing, read_key
from spike_ctrl.sim import observation
from spike_ctrl_flight import flight_messages, offboard
from spike_ctrl_flight.bridge_outputs import BatteryTopic, CommandTimes, PreflightReport
from spike_ctrl_flight.flight_parameters import BridgeParameters
from spike_ctrl_flight.flight_plan import flight_settings
from spike_ctrl_ros import qos
from spike_ctrl_ros.declared_parameters import declare
from spike_ctrl_ros.node import ProcessNode, RivalWatch
from spike_ctrl_ros.spin import run
from spike_ctrl_ros.standard_topics import odometry

STATUS_PERIOD, PREFLIGHT_PERIOD = 0.02, 1.0  # s
REQUEST_AGE = 0.3  # s: oldest status that a request may answer
MOST_WAITING = 100  # packets that are read before a state goes out: more than come in .2 s, read in some 2 ms


class VehicleBridge(ProcessNode):
    def __init__(self) -> None:
        super().__init__("vehicle_bridge")
        self.stays_for = "command"  # a supervisor needs the autopilot: it ends first
        p = declare(self, BridgeParameters)
        self.airframe, self.settings, wanted = flight_settings(p)
        self.preflight = PreflightReport(self, self.settings, self.airframe, wanted)
        way = offboard.find(p.link)
        if (converse := getattr(way, "converse", None)) is not None:  # in another language than MAVLink
            talk = converse(self, p.connection, self.airframe, p.rate, self.preflight)
            self.connection, self.companion, self.preflight = talk
        else:
            signing = Signing(read_key(p.signing_key), 0, time.time(), time.monotonic()) if p.signing_key else None
            self.connection = Connection(p.connection)
            link, names = Link(self.connection.stream, signing, p.system), self.preflight.parameter_names()
            self.companion = Companion(link, p.rate, names, self.settings.force, p.paced)
        self.commands = way(self, self.connection, self.companion, self.airframe, p.px4)
        self.memory, self.passed = bridge.BridgeMemory(), bridge.PassedCommand()
        self.refused = 0
        self.times, self.clock, self.arrived = CommandTimes(), FlightClock(p.paced, self.settings.pause), 0.0
        observation.build((0, 0, 0), (0, 0, 0, 1), (0, 0, 0), (0, 0, 0))  # compiles it, where it is not in the cache
        self.raw_out = self.create_publisher(FlightState, "flight_state", qos.STREAM)
        self.state_out = self.create_publisher(VehicleState, "state", qos.STREAM)
        self.status_out = self.create_publisher(AutopilotStatus, "autopilot", qos.STREAM)
        self.odometry_out = self.create_publisher(Odometry, "odometry", qos.STREAM)
        self.battery = BatteryTopic(self)
        self.create_subscription(FlightCommand, "command", self.on_command, qos.STREAM)
        self.create_subscription(SetPoint, "set_point", self.on_set_point, qos.STREAM)
        self.create_subscription(AutopilotRequest, "autopilot_request", self.on_request, qos.STATUS)
        self.create_subscription(UInt64, "answered", self.on_answered, qos.STREAM)
        self.rival = RivalWatch(self, "flight_state")
        self.start_timer(STATUS_PERIOD, self.send_due)
        self.start_timer(PREFLIGHT_PERIOD, self.report_preflight)
        self.get_logger().info(f"waiting for the autopilot at {p.connection}; passive: it arms only when it is asked to")
        self.lock, self.ended = threading.Lock(), False
        self.reader = self.start_reader("the autopilot", self.read)

    # --- from the autopilot -----------------------------------------------------------------------------------------

    def read(self) -> None:
        """Read in a thread of its own, because a state must not wait for the executor."""
        while not self.ended:
            newest = self.hear(*self.connection.receive(0.1))
            for _ in range(MOST_WAITING - 1):  # of several waiting states only the newest counts
                more, sender = self.connection.receive(0.0)
                if not more or self.ended:
                    break
                newest = self.hear(more, sender) or newest
            if newest is not None and self.rival.clear:
                self.publish_state(newest)

    def hear(self, data: bytes, sender: Sender) -> Sample | None:
        wall = time.monotonic()
        now = self.clock.now(wall)
        if not data or not self.connection.believes(sender, now):
            return None
        with self.lock:
            samples = self.companion.receive(data, now)
            if self.companion.heard == now:
                self.connection.adopt(sender, now)
            for sample in samples:
                self.clock, self.arrived = self.clock.seen(sample.stamp, wall), wall
        return samples[-1]._replace(received=self.clock.now(wall)) if samples else None

    def now(self) -> float:
        return self.clock.now(time.monotonic())

    def publish_state(self, sample: Sample) -> None:
        """To guide and policy first: while they compute, the supervisor checks the state that they answer."""
        with self.lock:  # not while it publishes: a command waits for nobody's state
            status = self.companion.status()
            self.memory, (sample, state, on_ground) = bridge.bridge_state(self.memory, sample, status, self.settings)
            self.passed = passed = self.passed.with_state(state)
            target = self.memory.target
        if state is not None:
            self.times.shown(state.tick, state.stamp, self.arrived)
            guided = passed.guide_flies(state.received, self.settings)
            self.state_out.publish(flight_messages.vehicle_state(state, target, on_ground, guided))
        self.raw_out.publish(flight_messages.state_message(sample))
        self.battery.show(status, sample.stamp)
        if state is not None and self.odometry_out.get_subscription_count():
            row = (*state.position, *state.quaternion, *state.velocity, *state.rates)
            self.odometry_out.publish(odometry(row, round(sample.stamp * 1e9), sample.quality.variances))

    # --- from the supervisor ----------------------------------------------------------------------------------------

    def on_set_point(self, message: SetPoint) -> None:
        point = flight_messages.set_point(message)
        if not self.obeys(message.source, self.now()):
            self.refuse("a set-point of another supervisor than the one that flies")
        elif (bad := setpoint.not_finite(point)) is not None:
            self.refuse(f"set-point: {bad}")
        else:
            with self.lock:
                self.memory = self.memory._replace(target=point)

    def on_command(self, message: FlightCommand) -> None:
        action, rests, now = tuple(message.action.tolist()), message.commander == FlightCommand.REST, self.now()
        if not self.obeys(message.source, now):
            self.refuse("a command of another supervisor than the one that flies")
            return
        with self.lock:
            command = (message.tick, action, message.layout, rests)
            passed, found = bridge.admit_command(self.passed, *command, now, self.settings)
            if not found:
                guided = message.commander == FlightCommand.GUIDE
                self.passed = passed = passed._replace(source=message.source, heard=now, guided=guided)
                self.commands.send(action, now)
        self.tell_answered(message.tick)
        if found:
            self.refuse(str(found[0]))
        else:
            self.times.add(message.commander, message.tick, time.monotonic())

    def on_answered(self, message: UInt64) -> None:
        self.tell_answered(message.data)

    def tell_answered(self, tick: int) -> None:
        """Let a vehicle that waits go on from the state of this tick."""
        if self.clock.paced and (stamp := self.times.stamp(tick)) is not None:
            with self.lock:
                self.connection.send(self.companion.link.answered(stamp, self.now()))

    def on_request(self, message: AutopilotRequest) -> None:
        ask, now = flight_messages.ASKS.get(message.request), self.now()
        if ask is None or now - 1e-9 * message.status_sent > REQUEST_AGE:  # the autopilot may be in another mode by now
            self.refuse(f"a request for {ask} that answers an old status")
        elif not self.obeys(message.source, now):
            self.refuse(f"a request for {ask} of another supervisor than the one that flies")
        else:
            with self.lock:
                self.connection.send(self.companion.ask(ask, now))

    def obeys(self, source: int, now: float) -> bool:
        return bridge.obeys_supervisor(self.passed, source, lambda: self.count_publishers("command"), now, self.settings)

    def refuse(self, what: str) -> None:
        self.refused += 1
        self.get_logger().warning(f"refused: {what}", throttle_duration_sec=1.0)

    # --- what is due ------------------------------------------------------------------------------------------------

    def send_due(self) -> None:
        """Packets that are due to the autopilot, and its status to the supervisor."""
        with self.lock:
            now = self.now()
            for packet in self.companion.due(now):
                self.connection.send(packet)
            status, heard, said = self.companion.status(), self.companion.heard, self.companion.said
            self.companion.said = []
        for words in said:
            self.get_logger().info(f"autopilot: {words.text}")
        if self.rival.clear:
            self.status_out.publish(flight_messages.status_message(status, heard, self.refused, now, time.time_ns()))

    def report_preflight(self) -> None:
        with self.lock:
            heard = self.companion.heard_of(self.now())
            self.companion.want(self.preflight.parameter_names(heard.version))
            of_link = self.commands.unmet()
        figures = {**self.times.figures(), "refused": self.refused, **self.companion.link.counts}
        self.preflight.publish(heard, of_link, figures)

    def close(self) -> None:
        with self.lock:
            status, last = self.companion.status(), self.memory.track.last
            if status is not None and status.airborne and status.mode is Mode.OFFBOARD and last is not None:
                level, thrust = from_yaw(attitude.yaw(last.quaternion)), parameter_rules.hover_thrust(self.airframe)
                self.connection.send(self.companion.link.attitude(thrust, level, self.now()))
            if hasattr(self.commands, "close"):
                self.commands.close()
        self.ended = True
        self.reader.join(1.0)
        with self.lock:
            self.connection.close()
        print(self.times, flush=True)


def main() -> None:
    sys.exit(run(VehicleBridge, above=2))
