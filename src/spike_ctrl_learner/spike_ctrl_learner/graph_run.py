"""The run of a training in the graph, started or resumed as the parameters of its node say."""

import dataclasses
import time
from pathlib import Path
from typing import Any

from spike_ctrl import airframe
from spike_ctrl._files import provenance
from spike_ctrl._files.errors import UsageError
from spike_ctrl.learn import recipe
from spike_ctrl.learn.run import Run, folder_for
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import CheckpointError
from spike_ctrl_learner.learner_parameters import LearnerParameters
from spike_ctrl_ros.spin import NodeError


def open_run(parameters: LearnerParameters) -> Run:
    """The run. Raises UsageError, and NodeError where a checkpoint cannot be begun with."""
    p = parameters
    about: dict[str, Any] = {
        "clock": time.monotonic, "command": provenance.command(), "commit": provenance.commit(),
    }  # fmt: skip
    if p.resume and p.start_from:
        raise UsageError(f"parameter 'start_from': found {p.start_from}, wanted none for a run that is resumed")
    try:
        if p.resume:
            found = Run.resume(Path(p.resume), dataclasses.asdict(p), **about)
        else:
            vehicle, plan = airframe.load(p.airframe), recipe.find(p.recipe).with_steps(p.steps)
            folder = Path(p.run) if p.run else folder_for(plan, time.strftime("%Y%m%d-%H%M%S"))
            found = Run.start(folder, plan, vehicle, p.vehicles, p.seed, **about)
            if p.start_from:
                learner = found.learner
                learner.start_from(checkpoint.load(p.start_from, expect=vars(learner.contract())).weights)
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
