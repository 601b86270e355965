"""The run of a training in the graph, started or resumed as the parameters of its node say."""

import dataclasses
import time
from pathlib import Path

from spike_ctrl._files import provenance
from spike_ctrl._files.errors import UsageError
from spike_ctrl.learn.run import Run
from spike_ctrl.learn.start_training import start
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import CheckpointError
from spike_ctrl_learner.learner_parameters import LearnerParameters
from spike_ctrl_ros.spin import NodeError


def open_run(parameters: LearnerParameters) -> Run:
    """The run. Raises UsageError, and NodeError where a checkpoint cannot be begun with."""
    p = parameters
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
