"""What other packages make of our NIR files: their answers on flights of the policy beside its own.

Each reader gets the file as its own documentation says and is stepped as that says. A reader that raises is harmless; one
that answers otherwise in silence is not. `spike-ctrl export MODEL --to nir --readers` shows it.
"""

import contextlib
import importlib.metadata
import io
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spike_ctrl.flight.rehearsal import VEHICLES, PlantChange, fly_rehearsal
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl_export.nir import PLAIN, READERS, graph

STEPS, DIFFERS = 1000, 1e-3  # per vehicle; an action, where rounding differs by some 1e-6 and a spike by some 1e-2
_PLANTS = (PlantChange(), PlantChange(mass=1.1), PlantChange(thrust=0.95))
Step = Callable[[np.ndarray], np.ndarray]


class NirReading(NamedTuple):
    """How a reader took a file. differ: how many of `answers` differ; None where it raised `error`."""

    reader: str
    version: str
    own_form: bool
    differ: int | None
    answers: int
    error: str = ""

    @property
    def words(self) -> str:
        """The verdict for the user."""
        if self.differ is None:
            return f"refuses: {self.error}"
        verdict = "exact" if not self.differ else "ROUNDS" if self.differ < 0.05 * self.answers else "WRONG, in silence"
        return f"{verdict}: {self.differ} of {self.answers} answers differ"


def _snntorch(read, dt):
    from snntorch.import_nir import import_from_nir

    return import_from_nir(read)


def _spikingjelly(read, dt):
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    return import_from_nir(read, dt=dt)


def _norse(read, dt):
    from norse.torch.utils.import_nir import from_nir

    return from_nir(read, dt=dt)


def _sinabs(read, dt):
    from sinabs.nir import from_nir

    return from_nir(read, batch_size=VEHICLES)


def _sinabs_with_two_lines(read, dt):
    from sinabs.activation import MembraneReset, SingleSpike
    from sinabs.layers import LIFSqueeze

    network = _sinabs(read, dt)
    for layer in network.modules():
        if isinstance(layer, LIFSqueeze):
            layer.spike_fn, layer.reset_fn = SingleSpike, MembraneReset()
    return network


def _rockpool(read, dt):
    from rockpool.nn.modules.torch.nir import from_nir

    return from_nir(read)


def _spyx(read, dt, exchange=lambda network: None):
    import torch
    from spyx.nir import from_nir

    network, _ = from_nir(read, np.zeros((1, VEHICLES, int(read.nodes["input"].output_type["output"][0])), np.float32), dt)
    exchange(network)

    def stepped(observation, state):
        readout, state = network(observation.numpy(), network.initial_state(VEHICLES) if state is None else state)
        return torch.from_numpy(np.array(readout)), state

    return stepped


def _spyx_with_another_neuron(read, dt):
    from spyx.nn import LIF

    class HardReset(LIF):
        def __call__(self, x, V):
            V = self.beta[...] * V + x
            spikes = (V > self.threshold).astype(V.dtype)
            return spikes, V * (1 - spikes)

    def exchange(network):
        for layer in network.layers:
            if isinstance(layer, LIF):
                layer.__class__ = HardReset

    return _spyx(read, dt, exchange)


def _snn_mlir(read, dt):
    from snn_mlir import to_mlir

    raise NotImplementedError(f"converts to {len(to_mlir(read).splitlines())} lines, which only snn-opt can run")


# By name: its package, and what makes its network of a graph.
_IMPORTS = {
    "snntorch": ("snntorch", _snntorch),
    "norse": ("norse", _norse),
    "spikingjelly": ("spikingjelly", _spikingjelly),
    "sinabs": ("sinabs", _sinabs),
    "sinabs, one spike and reset to 0 set": ("sinabs", _sinabs_with_two_lines),
    "rockpool": ("rockpool", _rockpool),
    "spyx": ("spyx", _spyx),
    "spyx, with a neuron of ours": ("spyx", _spyx_with_another_neuron),
    "snn-mlir": ("snn-mlir", _snn_mlir),
}


def readings(found: Checkpoint, name: str, dt: float | None = None) -> Iterator[NirReading]:
    """Reads the plain file, and the one that is written for the reader, with each reader that is installed.

    Of one that is not, a single NirReading without a version. name: of the checkpoint, for errors. Raises UsageError.
    """
    seen, wanted = flights(found)
    for reader, (package, make) in _IMPORTS.items():
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            yield NirReading(reader, "", False, None, 0, "not installed")
            continue
        own = READERS.get(package)
        for form in (PLAIN._replace(dt=dt), *([own] if own else [])):
            read = _through_a_file(graph(found, name, form))
            try:
                with _quiet():
                    step = _stepping(make(read, float(read.metadata["dt"])))
                    differ = _differing(step, seen, wanted)
                yield NirReading(reader, version, form is own, differ, wanted[..., 0].size)
            except Exception as error:  # each package raises what it likes
                yield NirReading(reader, version, form is own, None, wanted[..., 0].size, _line(error))


def flights(found: Checkpoint) -> tuple[np.ndarray, np.ndarray]:
    """Observations [STEPS, VEHICLES, in] of flights that the policy flew, on three plants, and its answers in one go."""
    contract = found.manifest.contract
    vehicle = found.airframe()
    seen = np.concatenate([list(fly_rehearsal(found.policy, vehicle, contract.rate_hz, plant)) for plant in _PLANTS])[:STEPS]
    answers, state = [], found.policy.initial_state(VEHICLES)
    for observation in seen:
        action, state = found.policy.step(observation, state)
        answers.append(action)
    return seen, np.array(answers)


def _through_a_file(written):
    import nir

    with tempfile.TemporaryDirectory() as folder:
        nir.write(Path(folder) / "policy.nir", written)
        return nir.read(Path(folder) / "policy.nir")


def _stepping(network) -> Step:
    import torch

    state = None

    def step(observation: np.ndarray) -> np.ndarray:
        nonlocal state
        with torch.no_grad():
            readout, state = network(torch.from_numpy(np.float32(observation)), state)
        return np.tanh(readout.numpy())

    return step


def _differing(step: Step, seen: np.ndarray, wanted: np.ndarray) -> int:
    return sum(
        int((~(np.abs(step(observation) - answer).max(axis=1) <= DIFFERS)).sum())
        for observation, answer in zip(seen, wanted, strict=True)
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:120]
