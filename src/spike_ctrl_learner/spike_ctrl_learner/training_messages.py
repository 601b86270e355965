"""What the learner tells the graph, as messages."""

import hashlib
from collections.abc import Mapping
from typing import Any

from spike_ctrl_msgs.msg import Checkpoint, JumpStart, TrainingStatus

from spike_ctrl.learn.learner import Learner, RolloutSettings
from spike_ctrl.learn.run import Run
from spike_ctrl.policy import checkpoint
from spike_ctrl_ros.convert import fill

TOLD = ("survival", "guide_share", "slope", "critic_loss", "actor_loss")  # metrics of an iteration


def checkpoint_message(learner: Learner, name: str, epoch: int, stamp: int) -> Checkpoint:
    """The policy that flies next. Raises CheckpointError. stamp: ns."""
    about: dict[str, Any] = {"recipe": learner.recipe.name, "seed": learner.seed, "name": name}
    data = checkpoint.dumps(learner.flying_weights(), learner.contract(), graph=learner.graph, **about)
    digest = hashlib.sha256(data).hexdigest()
    return fill(Checkpoint(), stamp=stamp, epoch=epoch, name=name, sha256=digest, data=data)


def rollout_message(settings: RolloutSettings, until_tick: int, epoch: int, stamp: int) -> JumpStart:
    """Lets the checkpoint of this epoch be flown until that tick. stamp: ns."""
    return fill(JumpStart(), stamp=stamp, epoch=epoch, until_tick=until_tick, **vars(settings))


def status_message(run: Run, metrics: Mapping[str, float], speed: float, epoch: int, stamp: int) -> TrainingStatus:
    """How the run is going. metrics: of the last iteration; NaN stands for what they lack. speed: environment steps/s."""
    told: dict[str, Any] = {name: metrics.get(name, float("nan")) for name in TOLD}
    return fill(
        TrainingStatus(),
        stamp=stamp,
        run=str(run.folder),
        recipe=run.learner.recipe.name,
        environment_steps=run.learner.environment_steps,
        steps_per_second=speed,
        remaining_time=run.remaining,
        updates=run.learner.actor_updates,
        epoch=epoch,
        return_mean=metrics.get("return", float("nan")),
        **told,
    )
