"""Exports a policy: C for microcontrollers, NIR for neuromorphic tool chains, ONNX for inference runtimes."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from spike_ctrl._files import atomic_file
from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy import self_test
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl.snn.neuron import Neuron


def neuron_of(found: Checkpoint, name: str, form: str) -> Neuron:
    """The neuron of a spiking network. Raises UsageError for a network of another kind, which is ONNX already."""
    if (neuron := found.manifest.contract.neuron) is None:
        network = found.manifest.contract.network or "a network of another kind"
        raise UsageError(f"{name}: network: found {network}, wanted a spiking network of ours for {form}; try --to onnx")
    return neuron


def voltage_words(found: Checkpoint) -> dict[str, float]:
    """How a policy that sees the battery's voltage V has it, as metadata: (V - middle) / span; {} for one that does not."""
    seen = found.manifest.contract.voltage
    return {} if seen is None else {"voltage_middle": seen.middle, "voltage_span": seen.span}


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write files, by their paths in a folder, which is created if it is missing. Raises UsageError."""
    with writing(folder):
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            atomic_file.write(folder / name, text.encode())


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises UsageError where a file or folder cannot be written."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {atomic_file.reason(error)}") from None


def pass_self_test(path: Path, found: Checkpoint, step: Callable[[Any, Any], tuple[Any, Any]], state: Any) -> float:
    """Run the self-test with a file's own step, from `state`. Gives the largest difference of an action.

    step: takes observation and state, gives action and state. Raises UsageError where an action differs by too much.
    """
    worst = 0.0
    for observation, expected in zip(found.self_test, self_test.answers(found.policy, found.self_test), strict=True):
        action, state = step(observation, state)
        worst = max(worst, float(np.abs(action - expected).max()))
    if not worst <= found.manifest.tolerance:
        raise UsageError(f"{path}: self-test: found a difference of {worst:.2g}, wanted {found.manifest.tolerance:.2g}")
    return worst


def contract_words(found: Checkpoint) -> str:
    """Airframe, layout, rate and layer sizes of a checkpoint, for the line that says what was written."""
    contract = found.manifest.contract
    return f"{contract.airframe}, {contract.action}, {contract.rate_hz:g} Hz, {'-'.join(map(str, contract.sizes))}"
