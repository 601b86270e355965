"""px4_backend: takes the simulator's place with one vehicle that an autopilot carries: PX4, or that of the parameter `link`.

It owns the connection. Each state of the vehicle in an episode is shown, and guide and policy answer it; the jump
start picks who flies, and the transition goes to the learner. Between episodes a guide of its own flies the vehicle to the
next start; it also catches the vehicle when the policy fails: see `spike_ctrl_sitl.live_training`.
When it is told to end it lands first; a second signal ends it at once.
"""

import sys
import threading
import time
from functools import partial

from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from spike_ctrl_msgs.msg import JumpStart, Transition, VehicleAction, VehicleState

from spike_ctrl import airframe
from spike_ctrl.flight.autopilot import Autopilot
from spike_ctrl.flight.flight_clock import FlightClock
from spike_ctrl.flight.flight_settings import settings_for
from spike_ctrl.flight.state_checks import Sample
from spike_ctrl.px4.parameter_rules import Unmet
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import MessageError, state_message, transition_message, view
from spike_ctrl_ros.declared_parameters import declare
from spike_ctrl_ros.node import ProcessNode, RivalWatch
from spike_ctrl_ros.spin import run
from spike_ctrl_ros.standard_topics import diagnostics, odometry
from spike_ctrl_sitl import autopilot_vehicle
from spike_ctrl_sitl.live_training.autopilot_simulator import ANSWERS, Step
from spike_ctrl_sitl.live_training.return_to_start import ReturnPhase
from spike_ctrl_sitl.live_training.room_episodes import RolloutOrder
from spike_ctrl_sitl.px4_backend_parameters import Px4BackendParameters

PERIOD, PATIENCE = 0.02, 5.0  # s


class Px4Backend(ProcessNode):
    def __init__(self) -> None:
        super().__init__("px4_backend")
        p = declare(self, Px4BackendParameters)
        craft = airframe.load(p.airframe)
        self.link = autopilot_vehicle.open_link(self, p, craft)
        self.connection, self.companion = self.link.connection, self.link.companion
        self.flight = autopilot_vehicle.episodes_of(p, craft, self.link.pilot_arms)
        self.clock = FlightClock(self.link.paced, settings_for(craft, RATE_HZ).pause)
        self.samples, self.last = 0, (0.0, self.now())  # the vehicle's time and ours, of the last state
        self.state_out = self.create_publisher(VehicleState, "state", qos.LOCKSTEP)
        self.transition_out = self.create_publisher(Transition, "transition", qos.LOCKSTEP)
        self.odometry_out = self.create_publisher(Odometry, "odometry", qos.STREAM)
        self.diagnostics_out = self.create_publisher(DiagnosticArray, "diagnostics", qos.STATUS)
        self.create_subscription(JumpStart, "jump_start", self.on_order, qos.LOCKSTEP)
        for topic in ANSWERS:
            self.create_subscription(VehicleAction, topic, partial(self.on_answer, topic), qos.LOCKSTEP)
        self.start_timer(PERIOD, self.on_time)
        self.start_timer(1.0, self.diagnose)
        self.rival = RivalWatch(self, "state")
        self.missing_since: float | None = None
        self.lock, self.ended = threading.Lock(), False
        self.get_logger().info(f"waiting for the autopilot at {p.connection}")
        self.reader = self.start_reader("the autopilot", self.read)

    def read(self) -> None:
        """Hear the autopilot, in a thread of its own: a state must not wait for the executor."""
        while not self.ended:
            data, sender = self.connection.receive(0.1)
            wall = time.monotonic()
            now = self.clock.now(wall)
            if not data or not self.connection.believes(sender, now):
                continue
            with self.lock:
                samples = self.companion.receive(data, now)
                if self.companion.heard == now:
                    self.connection.adopt(sender, now)
                for sample in samples:
                    self.clock = self.clock.seen(sample.stamp, wall)
                    shown = self.see(sample, self.clock.now(wall)) if self.ready else False
                    if self.link.paced and not shown:
                        self.link.answered(sample.stamp, now)

    def see(self, sample: Sample, now: float) -> bool:
        """Take a state; whether guide and policy have to answer it. The caller holds the lock."""
        self.samples += 1
        self.last = (sample.stamp, now)
        step = self.flight.see(sample._replace(tick=self.samples), *self.status)
        self.obey(step, now)
        return step.shown is not None

    def now(self) -> float:
        """s, on this computer's clock or, where the vehicle waits for answers, on its own."""
        return self.clock.now(time.monotonic())

    @property
    def ready(self) -> bool:
        """Whether all nodes are there, and the autopilot is set up for the room; before that nothing takes off."""
        here = self.missing_since is None and self.rival.clear
        return self.flight.phase is not ReturnPhase.WAIT or (here and self.barring == [])

    @property
    def barring(self) -> list[Unmet] | None:
        """What bars a training on this autopilot; None: not all has been told yet."""
        return self.link.barring()

    @property
    def status(self) -> tuple[Autopilot | None, bool]:
        return self.companion.status(), self.link.ready

    def obey(self, step: Step, now: float) -> None:
        """Send what the flight says. The caller holds the lock."""
        if step.action is not None:
            self.link.command(step.action, now)
        if step.ask is not None:
            self.link.ask(step.ask, now)
        stamp = round(self.last[0] * 1e9)
        for tick, epoch, rows in step.rows:
            self.transition_out.publish(transition_message(tick, epoch, stamp, **rows._asdict()))
        if step.shown is not None:
            tick, epoch, seen = step.shown
            shown = {"flags": seen.flags, "observation": seen.observation}
            self.state_out.publish(state_message(tick, epoch, stamp, **shown))
        for text in step.news:
            self.get_logger().info(text)

    def on_order(self, message: JumpStart) -> None:
        with self.lock:
            self.flight.take(RolloutOrder(*(getattr(message, name) for name in RolloutOrder._fields)))

    def on_answer(self, topic: str, message: VehicleAction) -> None:
        with self.lock:
            try:
                action = view(message).action
            except MessageError as error:  # as if it had not come: the last command flies on, then the guide flies
                self.flight.counts["malformed_answers"] += 1
                words = f"answer dropped: tick {message.tick}: {topic} from {ANSWERS[topic]}: {error}"
                self.get_logger().warning(words, throttle_duration_sec=1.0)
                return
            step, now = self.flight.answer(topic, message.tick, action), self.now()
            self.obey(step, now)
            if self.link.paced and step.action is not None:
                self.link.answered(self.last[0], now)

    def on_time(self) -> None:
        """Send what is due to the autopilot, look who is missing in the graph, and end when the flight has ended."""
        with self.lock:
            now = self.now()
            for packet_due in self.companion.due(now):
                self.connection.send(packet_due)
            self.watch(now)
            if self.ready:
                self.obey(self.flight.wait(self.last[0] + now - self.last[1], *self.status), now)
            said, self.companion.said = self.companion.said, []
            barring = self.barring if self.flight.phase is ReturnPhase.WAIT else None
        for unmet in barring or ():
            self.get_logger().error(f"nothing takes off: {unmet}", throttle_duration_sec=5.0)
        for words in said:
            self.get_logger().info(f"autopilot: {words.text}")
        if self.flight.phase is ReturnPhase.ENDED:
            self.failure, self.finished = self.flight.failure or None, True

    def watch(self, now: float) -> None:
        """Look for the nodes that must answer or learn.

        While one is missing nothing takes off. In the air the vehicle lands; then the node ends and names who is missing.
        """
        absent = [node for topic, node in ANSWERS.items() if self.count_publishers(topic) == 0]
        absent += [] if self.is_heard(self.transition_out) else ["learner"]
        if not absent or self.flight.reset.ending:
            self.missing_since = None
            return
        self.missing_since = now if self.missing_since is None else self.missing_since
        if now - self.missing_since > PATIENCE and self.flight.phase is not ReturnPhase.WAIT:
            missing = f"{' and '.join(absent)} not connected for {PATIENCE:.0f} s"
            self.flight.stop(self.last[0] + now - self.last[1], missing)

    def diagnose(self) -> None:
        with self.lock:
            phase, counts, sample = self.flight.phase, dict(self.flight.counts), self.flight.sample
            values = {"tick": self.flight.tick, **counts, **self.companion.link.counts}
        if sample is not None:
            row = (*sample.position, *sample.quaternion, *sample.velocity, *sample.rates)
            self.odometry_out.publish(odometry(row, round(sample.stamp * 1e9), sample.quality.variances))
        text = "waits for the learner" if phase is ReturnPhase.READY else phase.value
        self.diagnostics_out.publish(diagnostics(self, text, values, warn=phase is ReturnPhase.READY))

    def stopping(self) -> bool:
        """Land before the end."""
        with self.lock:
            if not self.flight.reset.ending:
                self.flight.stop(self.last[0] + self.now() - self.last[1])
        return self.flight.phase is not ReturnPhase.ENDED

    def close(self) -> None:
        self.ended = True
        self.reader.join(1.0)
        with self.lock:
            self.connection.close()
        told = ", ".join(f"{name} {count}" for name, count in sorted(self.flight.counts.items()))
        print(f"px4_backend: {self.flight.tick} rows; {told or 'no episode'}", flush=True)


def main() -> None:
    sys.exit(run(Px4Backend))
