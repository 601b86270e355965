"""replayer: shows a recorded flight to a running snn_policy, and compares its answers with the recorded ones.

The policy is in shadow: nothing flies by its answers. A state is sent when it is due by `rate` and the one before has been
answered. Therefore a slow policy slows the replay and changes nothing. A state without an answer is sent again after a
second.
"""

import hashlib
import sys
import time

import numpy as np
from spike_ctrl_msgs.msg import Checkpoint, VehicleAction, VehicleState

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy import checkpoint
from spike_ctrl.recordings import recorded_policy, replay
from spike_ctrl.recordings.reader import read
from spike_ctrl_record.recording_parameters import ReplayerParameters
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import MessageError, fill, state_message, view
from spike_ctrl_ros.declared_parameters import declare
from spike_ctrl_ros.node import ProcessNode, RivalWatch
from spike_ctrl_ros.spin import run

RESEND, PATIENCE = 1.0, 10.0  # s


class Replayer(ProcessNode):
    def __init__(self) -> None:
        super().__init__("replayer")
        self.parameters = p = declare(self, ReplayerParameters)
        if not p.bag:
            raise UsageError("parameter 'bag': found '', wanted the folder of a bag")
        self.recording = recording = read(p.bag, replay.TOPICS)
        model = checkpoint.read(p.model) if p.model else None
        choice, _, self.offline = replay.judged(recording, model, p.model)
        self.choice, vehicle = choice, airframe.load(p.airframe)
        if vehicle.hash != choice.contract.airframe_hash:
            wanted = f"that of the checkpoint, {choice.contract.airframe} ({choice.contract.airframe_hash})"
            raise UsageError(f"parameter 'airframe': found '{p.airframe}' ({vehicle.hash}), wanted {wanted}")
        if choice.contract.voltage is not None:
            found = f"found a checkpoint that sees the battery's voltage, {choice.words}"
            raise UsageError(f"parameter 'model': {found}, wanted another; spike-ctrl replay {p.bag} replays it")
        for note in recording.notes:
            self.get_logger().warning(note)
        # The checkpoint of the epoch that a state names answers at once, without a warm-up. Epochs count from 1 here.
        flown = recorded_policy.flown_epochs(recording)
        order = {epoch: 1 if model else number for number, epoch in enumerate(dict.fromkeys(flown.tolist()), 1)}
        kept = [(number, *recording.checkpoints[epoch]) for epoch, number in order.items() if epoch in recording.checkpoints]
        self.waiting = [(1, p.model, hashlib.sha256(model).hexdigest(), model)] if model else kept
        self.epochs = np.array([order[epoch] for epoch in flown.tolist()])
        # In the flight, a candidate took over with the spiking state of its time in shadow, which this policy does not have.
        self.foreign = np.cumsum((np.diff(flown, prepend=flown[0]) != 0) & (recording.states.epoch == 0)) > 0
        started = np.isin(recording.states.tick, list(recorded_policy.started_ticks(recording)))
        self.flags = recording.states.flags | (VehicleState.FIRST * started[:, None]).astype(np.uint8)
        self.answers = np.full_like(recording.answers.action, np.nan)
        self.rows = np.flatnonzero(
            np.isin(self.epochs, [epoch for epoch, *_ in self.waiting]) & self.offline.stepped
        ).tolist()[::-1]
        self.row: int | None = None
        self.begun: float | None = None
        self.sent = 0.0
        self.state_out = self.create_publisher(VehicleState, "state", qos.LOCKSTEP)
        self.checkpoint_out = self.create_publisher(Checkpoint, "policy/checkpoint", qos.CHECKPOINTS)
        self.create_subscription(VehicleAction, "policy/action", self.on_answer, qos.LOCKSTEP)
        self.pace = 1 / (p.rate * choice.contract.rate_hz) if p.rate else 0.0
        self.start_timer(max(self.pace / 2, 1e-3), self.look)
        self.asked = time.monotonic()
        self.rival = RivalWatch(self, "state")

    def look(self) -> None:
        """Send the next state where it is due, or the last one again where its answer does not come."""
        now = time.monotonic()
        if self.row is not None:
            if now - self.asked > PATIENCE:
                tick = self.recording.states.tick[self.row]
                self.failure = f"tick {tick}: no policy/action from snn_policy for {PATIENCE:.0f} s"
            elif now - self.sent > RESEND:
                self.send()
        elif self.begun is None and not (
            self.rival.clear and self.count_publishers("policy/action") and self.checkpoint_out.get_subscription_count()
        ):
            if now - self.asked > 3 * PATIENCE:
                self.failure = f"snn_policy: not connected for {3 * PATIENCE:.0f} s"
        else:
            self.begun = now if self.begun is None else self.begun
            self.advance(self.begun, now)

    def advance(self, begun: float, now: float) -> None:
        if not self.rows:
            self.finish(begun, now)
            return
        row = self.rows[-1]
        if now < begun + self.pace * (self.recording.states.tick[row] - self.recording.states.tick[0]):
            return
        self.row, self.asked = self.rows.pop(), now
        epoch = int(self.epochs[row])
        while self.waiting and self.waiting[0][0] <= epoch:
            number, name, sha256, data = self.waiting.pop(0)
            self.checkpoint_out.publish(fill(Checkpoint(), epoch=number, name=name, sha256=sha256, data=data))
        self.send()

    def send(self) -> None:
        states, row = self.recording.states, self.row
        self.sent = time.monotonic()
        about = int(states.tick[row]), int(self.epochs[row]), int(states.received[row])
        self.state_out.publish(state_message(*about, flags=self.flags[row], observation=states.observation[row]))

    def on_answer(self, message: VehicleAction) -> None:
        if self.row is None or self.begun is None or message.tick != self.recording.states.tick[self.row]:
            return
        try:
            answer = view(message).action
        except MessageError as error:
            self.failure = f"tick {message.tick}: policy/action from snn_policy: {error}"
            return
        if answer.shape != (wanted := self.answers[self.row].shape):
            found = f"found actions {list(answer.shape)}, wanted {list(wanted)}"
            self.failure = f"tick {message.tick}: policy/action from snn_policy: {found}"
            return
        self.answers[self.row] = answer
        self.row = None
        self.advance(self.begun, time.monotonic())

    def finish(self, begun: float, now: float) -> None:
        if self.finished:
            return
        known = self.offline.known & ~self.foreign[:, None]
        answered = replay.Replay(self.answers, known, self.offline.stepped)
        found = replay.compare(self.recording, answered, self.choice.contract.rate_hz)
        returns = replay.returns(self.recording, replay.hover(self.choice.contract))
        for line in replay.summary(self.recording, self.choice, found, returns):
            print(line, flush=True)
        flown = len(self.recording.states.tick) / self.choice.contract.rate_hz
        print(f"replayed {flown:.1f} s of flight in {now - begun:.2f} s", flush=True)
        if self.choice.same and not found.same:
            self.failure = "the checkpoint that flew answers differently now"
        self.finished = True


def main() -> None:
    sys.exit(run(Replayer))
