"""learner: stores the transitions of the graph, trains on them, and sends checkpoints with permission to fly on.

While it learns from one iteration, the simulator flies the next. Its orders fix which checkpoint flies which tick; which
node is faster does not matter. So equal seeds give equal runs.
"""

import dataclasses
import sys
import time
from functools import partial
from pathlib import Path

from spike_ctrl_msgs.msg import Checkpoint, JumpStart, TrainingStatus, Transition

from spike_ctrl._files import provenance
from spike_ctrl._files.errors import UsageError
from spike_ctrl.evaluation.benchmark import comparison
from spike_ctrl.learn.replay_buffer import Rows, complete
from spike_ctrl.learn.run import Run, TrainingPace
from spike_ctrl.learn.start_training import start
from spike_ctrl.learn.training_process import training_process
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import CheckpointError
from spike_ctrl_learner.learner_parameters import LearnerParameters
from spike_ctrl_learner.training_messages import checkpoint_message, rollout_message, status_message
from spike_ctrl_ros import qos
from spike_ctrl_ros.convert import MessageError, view
from spike_ctrl_ros.declared_parameters import declare
from spike_ctrl_ros.node import ProcessNode, RivalWatch
from spike_ctrl_ros.spin import NodeError, run


class LearnerNode(ProcessNode):
    def __init__(self) -> None:
        super().__init__("learner")
        self.run = open_run(declare(self, LearnerParameters))
        self.learner, self.pace = self.run.learner, TrainingPace(self.run)
        self.rollout_out = self.create_publisher(JumpStart, "jump_start", qos.LOCKSTEP)
        self.checkpoint_out = self.create_publisher(Checkpoint, "policy/checkpoint", qos.CHECKPOINTS)
        self.status_out = self.create_publisher(TrainingStatus, "training/status", qos.STATUS)
        self.create_subscription(Transition, "transition", self.on_transition, qos.LOCKSTEP)
        self.next_tick: int | None = None
        self.granted, self.epoch = 0, 0
        self.rival = RivalWatch(self, "jump_start")
        self.begun = False  # a timer may fire once more after it is destroyed
        self.begin = self.start_timer(0.1, self.on_begin)
        self.get_logger().info(f"run {self.run.folder}: recipe {self.learner.recipe.name}")

    def on_begin(self) -> None:
        """Let the first two iterations be flown once simulator and policy listen: to fly one and learn from the other."""
        if not self.begun and self.rival.clear and self.is_heard(self.rollout_out) and self.is_heard(self.checkpoint_out):
            self.destroy_timer(self.begin)
            self.begun = True
            self.grant(2 * self.learner.ticks_per_iteration)

    def grant(self, ticks: int) -> None:
        """Send the exploring policy, and how it is flown for so many more ticks."""
        self.epoch += 1
        self.granted += ticks
        name, now = f"{self.run.folder.name}/{self.epoch}", self.get_clock().now().nanoseconds
        self.checkpoint_out.publish(checkpoint_message(self.learner, name, self.epoch, now))
        self.rollout_out.publish(rollout_message(self.learner.rollout_settings(), self.granted, self.epoch, now))

    def on_transition(self, message: Transition) -> None:
        if self.finished:
            return
        if self.next_tick is None:
            self.next_tick = int(message.tick)
            self.granted += self.next_tick
        if message.tick != self.next_tick:
            self.failure = f"transition of tick {self.next_tick} from simulator was lost: found tick {message.tick}"
            return
        if message.vehicles != self.learner.vehicles:
            self.failure = (
                f"transition.vehicles: found {message.vehicles}, wanted {self.learner.vehicles}: give all nodes the same"
            )
            return
        try:
            seen = view(message)
        except MessageError as error:
            self.failure = f"transition of tick {message.tick} from simulator: {error}"
            return
        self.next_tick += 1
        rows = Rows(*(getattr(seen, name) for name in Rows._fields))
        if rows.rotor_speed is None and self.learner.environment_steps == 0:
            self.get_logger().info("the transitions hold no rotor speeds and no disturbance: the critics see zeros instead")
        self.learner.receive(complete(rows))
        boundary = self.learner.environment_steps // self.learner.vehicles % self.learner.ticks_per_iteration == 0
        if boundary or self.learner.finished:
            self.learn()

    def learn(self) -> None:
        metrics = self.learner.iterate()
        try:
            self.pace.keep()
            speed = self.pace.tell(metrics, partial(print, end="\r", flush=True), self.learner.finished)
            if speed is not None:
                now = self.get_clock().now().nanoseconds
                self.status_out.publish(status_message(self.run, metrics, speed, self.epoch, now))
            if self.learner.finished:
                print("\nevaluating on 1024 starts ...", flush=True)
                evaluation = self.run.finish()
                print(comparison(evaluation, self.learner.airframe), flush=True)
                print(f"policy: {self.run.policy_path}", flush=True)
                self.finished = True
            else:
                self.grant(self.learner.ticks_per_iteration)
        except UsageError as error:
            self.failure = str(error)

    def close(self) -> None:
        """Save the state of a run that is stopped early, so that it can be resumed."""
        if self.finished or not self.learner.environment_steps:
            return
        try:
            self.run.save()
            print(f"\nstopped; go on with resume:={self.run.folder}", flush=True)
        except CheckpointError as error:
            print(f"\nerror: {error}", file=sys.stderr, flush=True)
        self.run.close()


def open_run(p: LearnerParameters) -> Run:
    """The run, started or resumed as the parameters say. Raises UsageError, NodeError where a checkpoint does not fit."""
    if p.resume and p.start_from:
        raise UsageError(f"parameter 'start_from': found {p.start_from}, wanted none for a run that is resumed")
    try:
        if p.resume:
            about = {"command": provenance.command(), "commit": provenance.commit()}
            found = Run.resume(Path(p.resume), dataclasses.asdict(p), clock=time.monotonic, **about)
        else:
            found = start(Path(p.run) if p.run else None, p.recipe, p.airframe, p.vehicles, p.steps, p.seed)
            if p.start_from:
                learner = found.learner
                learner.start_from(checkpoint.load(p.start_from, expect=vars(learner.contract())).weights)
                found.save()
    except CheckpointError as error:
        raise NodeError(str(error)) from None
    require_graph(found)
    return found


def require_graph(run: Run) -> None:
    """Raise UsageError where a run cannot be trained in a graph."""
    if run.learner.explorer:
        raise UsageError(
            f"recipe: algorithm: found {run.learner.recipe.algorithm}, which explores by itself, wanted one that "
            "learns from any flight; train it in one process: spike-ctrl train"
        )
    if run.learner.voltage is not None:
        raise UsageError(
            "recipe: network.voltage: found true, wanted false in a graph, whose states lack it; train: spike-ctrl train"
        )


def main() -> None:
    with training_process():
        sys.exit(run(LearnerNode))
