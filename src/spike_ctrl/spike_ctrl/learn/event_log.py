"""A run's metrics as TensorBoard shows them: scalars in groups, and the recipe as hyperparameters.

log = EventLog(folder, {"name": "td3bc", "schedule": {"steps": 2000000}}, vehicles=4096, seed=0)
log.add({"return": 412.0, "critic_loss": 0.03}, steps=1000000)    # return/training and loss/critic
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from spike_ctrl._files.yaml_file import leaves

HEADLINES = ("return/validation", "survival/validation")  # the columns of TensorBoard's table of hyperparameters
TIME = ("environment_steps", "offline_steps", "progress", "steps_per_second", "validation_seconds")
POLICY = ("slope", "guide_share", "bc_weight", "deviation", "spike_rate")
EPISODES = ("return", "survival", "length")


class EventLog:
    """The TensorBoard events of a run, in its folder. Raises OSError where they cannot be written."""

    def __init__(self, folder: Path, recipe: Mapping[str, object], **about: str | int):
        self._writer = SummaryWriter(str(folder), flush_secs=10)
        known = {name: value if isinstance(value, str | int | float) else str(value) for name, value in leaves(recipe)}
        files: Any = self._writer.file_writer
        for summary in hparams(known | about, dict.fromkeys(HEADLINES, 0.0)):  # type: ignore[no-untyped-call]  # torch's
            files.add_summary(summary)

    def add(self, metrics: Mapping[str, float], steps: int) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(tag(name), value, steps)

    def close(self) -> None:
        self._writer.close()


def tag(name: str) -> str:
    """The group and the name of a metric: return, survival, length, loss, policy, time; learner for any other."""
    if name in TIME:
        return f"time/{name}"
    if name.startswith(POLICY):
        return f"policy/{name}"
    if name.endswith("_loss"):
        return f"loss/{name.removesuffix('_loss')}"
    if name in EPISODES:
        return f"{name}/training"
    if name.startswith("validation_"):
        what = name.removeprefix("validation_")
        return f"{what}/validation" if what in EPISODES else f"return/{name}"
    return f"learner/{name}"
