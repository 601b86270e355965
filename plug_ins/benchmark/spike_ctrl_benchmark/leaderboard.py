"""The closed-loop benchmark: who enters, what is flown, and the result file that others can compare with.

The task is `spike_ctrl/Position-v0`: 1024 fixed starts, 5 s at most, once on the plant that the airframe describes and once
on plants that differ. Complexity has NeuroBench's definitions (arXiv 2304.04640), per control step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import spike_ctrl
from spike_ctrl import plug_ins
from spike_ctrl._files import named_object
from spike_ctrl._files.named_object import NamedObject
from spike_ctrl._files.text_table import text_table
from spike_ctrl.airframe import Airframe
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.evaluation import controllers
from spike_ctrl.evaluation.benchmark import EVALUATION_SEED, STARTS, evaluate, randomised
from spike_ctrl.evaluation.controllers import Controller, GuideController
from spike_ctrl.evaluation.energy import Cost, CountingSpikes
from spike_ctrl.evaluation.evaluation_result import Evaluation
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.sim.randomisation import Randomisation

TASK, VERSION = "spike_ctrl/Position-v0", 1
BASELINES = ("guide", *plug_ins.names("controllers"))


class Entry(NamedTuple):
    """What enters: its controller, and of a checkpoint with spikes its weights."""

    controller: Controller
    checkpoint: checkpoint.Checkpoint | None = None


def entry(name: str, airframe: Airframe) -> Entry:
    """The entry of that name: one of BASELINES, the name or path of a checkpoint, or module:Name of code.

    Code is called without arguments and gives what `evaluate` takes, such as a policy. Raises UsageError,
    CheckpointError and UsageError.
    """
    if name in BASELINES:
        return Entry(baseline(name, airframe))
    if named_object.is_name(name):
        return Entry(controllers.controller(NamedObject(name).make("POLICY"), airframe)[0])
    found = checkpoint.load(name)
    controllers.require_airframe(found, airframe, name)
    spiking = isinstance(found.policy, SpikingPolicy)
    flies = CountingSpikes(found.policy) if spiking else controllers.PolicyController(found.policy)
    return Entry(flies, found if spiking else None)


def baseline(name: str, airframe: Airframe) -> Controller:
    """A controller that nobody trained here, one of BASELINES. Raises ModuleNotFoundError where RAPTOR is not installed."""
    if name == "guide":
        return GuideController(GeometricGuide(airframe))
    kind: Callable[[Airframe], Controller] = plug_ins.load("controllers", name, "entry")
    return kind(airframe)


def fly_entries(entered: Entry, airframe: Airframe, starts: int = STARTS) -> dict[str, Any]:
    """The figures of an entry as plain numbers: `nominal`, `randomised`, and `complexity`, null where nothing spikes."""
    nominal: Evaluation = evaluate(entered.controller, airframe, starts=starts, randomisation=Randomisation())
    cost = None
    if entered.checkpoint is not None:
        counted: CountingSpikes = entered.controller  # type: ignore[assignment]
        cost = complexity(counted.cost(entered.checkpoint.weights), entered.checkpoint)
    unknown = evaluate(entered.controller, airframe, starts=starts, randomisation=randomised(airframe))
    return {"nominal": nominal.to_dict(), "randomised": unknown.to_dict(), "complexity": cost}


def complexity(cost: Cost, found: checkpoint.Checkpoint) -> dict[str, Any]:
    """NeuroBench's static and dynamic metrics of a spiking policy."""
    weights = [weight for name, weight in found.weights.items() if name.endswith(".weight")]
    zeros, count = (sum(int(f(weight)) for weight in weights) for f in (lambda w: (w == 0).sum(), lambda w: w.size))
    return {
        "footprint_bytes": cost.footprint,
        "connection_sparsity": zeros / count,
        "activation_sparsity": cost.sparsity,
        "synaptic_operations": {"effective_macs": cost.macs, "effective_acs": cost.acs, "dense": cost.dense},
    }


def result(entries: dict[str, dict[str, Any]], airframe: Airframe, starts: int = STARTS) -> dict[str, Any]:
    """The result file: the figures of all entries, and what they were flown on."""
    return {
        "benchmark": TASK,
        "version": VERSION,
        "spike_ctrl": spike_ctrl.__version__,
        "airframe": {"name": airframe.name, "hash": airframe.hash},
        "starts": starts,
        "seed": EVALUATION_SEED,
        "entries": entries,
    }


def entry_table(entries: dict[str, dict[str, Any]]) -> str:
    """A line for each entry: returns, survival, hover error (cm) and what a step costs."""
    rows = [["entry", "nominal", "randomised", "hover cm", "MACs", "ACs", "sparsity", "bytes"]]
    for name, found in entries.items():
        cells = [name]
        for plants in ("nominal", "randomised"):
            column = found[plants]["columns"]["1.5m_start"]
            cells.append(f"{column['return_mean']:.1f} ({column['survival']:.3f})")
        error = found["nominal"]["hover_error_m"]["median"]
        cells.append("none" if error is None else f"{100 * error:.1f}")
        if (cost := found["complexity"]) is None:
            cells += ["-"] * 4
        else:
            operations = cost["synaptic_operations"]
            cells += [f"{operations[kind]:.0f}" for kind in ("effective_macs", "effective_acs")]
            cells += [f"{cost['activation_sparsity']:.3f}", str(cost["footprint_bytes"])]
        rows.append(cells)
    return text_table(rows)
