"""Exports a policy as a NIR graph (neuroir.org) of Affine and LIF nodes. Its metadata hold what NIR cannot express.

    tau dv/dt = (v_leak - v) + r I, a spike where v > v_threshold, then v = v_reset

NIR's neurons are continuous in time. The graph is written for forward Euler with a step of dt, so that one step is one
control step: with tau = dt / (1 - beta), r = tau / dt and v_leak = v_reset = 0 it is v = beta v + I. A neuron without leak
(beta = 1) gets 1 - beta = 2^-52. The weights and bias of each neuron are divided by its threshold, which thereby becomes 1,
because importers such as snnTorch's accept one threshold per layer. NIR has the hard reset only: a policy with the soft
reset is refused. A recurrent layer hears its spikes of the last step through an Affine node of its own.

Importers ignore metadata, and each takes other things for granted: READERS has the form of the file that each reads.
"""

import importlib.metadata
import os
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spike_ctrl._files import atomic_file
from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl.snn.neuron import Reset
from spike_ctrl_export import neuron_of, pass_self_test, voltage_words, writing


class NirForm(NamedTuple):
    """How a graph writes a neuron.

    dt: time step (s), None for the control period. unit_resistance: r = 1, and weights and bias hold tau / dt.
    exponential: v = exp(-dt / tau) v + I, with r = 1, in place of forward Euler. relay: the spikes of a recurrent layer come
    back through two Affine nodes, the second an identity.
    """

    dt: float | None = None
    unit_resistance: bool = False
    exponential: bool = False
    relay: bool = False


PLAIN = NirForm()
READERS = {
    "snntorch": NirForm(dt=1e-4, relay=True),  # takes 1e-4 s for granted; replaces a loop of two nodes by one it cannot run
    "spikingjelly": NirForm(dt=1e-4),  # its default
    "norse": NirForm(dt=1e-3, unit_resistance=True),  # its default; ignores r
    "sinabs": NirForm(dt=1.0, exponential=True),  # reads tau as a number of steps; ignores r
}


def graph(found: Checkpoint, name: str, form: NirForm = PLAIN):
    """The nir.NIRGraph of a checkpoint. name: the checkpoint's, for errors. Raises UsageError."""
    nir = _package()
    contract, neuron = found.manifest.contract, neuron_of(found, name, "NIR")
    if neuron.reset is not Reset.HARD:
        raise UsageError(
            f"{name}: reset: found soft, wanted hard: a spike of NIR's neurons resets the membrane, it cannot subtract the "
            "threshold; such a policy is trained by: spike-ctrl train hard_reset"
        )
    dt = 1 / contract.rate_hz if form.dt is None else form.dt
    if not 0 < dt < np.inf:
        raise UsageError(f"--dt: found {dt}, wanted more than 0 s")
    nodes, edges, last = {"input": nir.Input({"input": np.array([contract.sizes[0]])})}, [], "input"
    for index, (inputs, width) in enumerate(pairwise(contract.sizes[:-1])):
        weight, bias, beta, theta = (
            found.weights[f"layer{index}.{part}"].astype(float) for part in ("weight", "bias", "beta", "theta")
        )
        if form.exponential:
            tau, r = -dt / np.log(np.clip(beta, 1e-30, 1 - 2.0**-52)), np.ones(width)
        else:
            tau = dt / np.maximum(1 - beta, 2.0**-52)
            r = np.ones(width) if form.unit_resistance else tau / dt
        scale = tau / dt / theta if form.unit_resistance else 1 / theta
        weight, bias, zero = np.float32(weight * scale[:, None]), np.float32(bias * scale), np.zeros(width, np.float32)
        nodes[f"affine{index}"] = nir.Affine(weight[:, :inputs], bias)
        nodes[f"lif{index}"] = nir.LIF(np.float32(tau), np.float32(r), zero, np.ones(width, np.float32), zero)
        edges += pairwise((last, f"affine{index}", last := f"lif{index}"))
        if weight.shape[1] > inputs:
            loop = {f"recurrent{index}": nir.Affine(weight[:, inputs:], zero)}
            if form.relay:
                loop[f"relay{index}"] = nir.Affine(np.eye(width, dtype=np.float32), zero)
            nodes |= loop
            edges += pairwise((last, *loop, last))
    nodes["readout"] = nir.Affine(found.weights["output.weight"], found.weights["output.bias"])
    nodes["output"] = nir.Output({"output": np.array([contract.sizes[-1]])})
    edges += pairwise((last, "readout", "output"))  # at last, since norse and sinabs give what they computed last
    return nir.NIRGraph(nodes, edges, _metadata(found, dt, form))


def write(path: str | os.PathLike, found: Checkpoint, name: str, form: NirForm = PLAIN) -> float:
    """Write the graph to `path` and run the self-test with the file. Gives the largest difference of an action.

    name: of the checkpoint, for errors. Raises UsageError.
    """
    path, written = Path(path), graph(found, name, form)
    with writing(path):
        atomic_file.replace(path, lambda temporary: _package().write(temporary, written))
    read_back = _package().read(path)
    if "dt" not in (read_back.metadata or {}):
        found_version = importlib.metadata.version("nir")
        raise UsageError(
            f"{path}: found nir {found_version}, which loses a graph's metadata, wanted 1.0.8: pip install nir==1.0.8"
        )
    return pass_self_test(path, found, NirSimulator(read_back).step, None)


class NirSimulator:
    """Steps a graph of Affine and LIF nodes, a chain with loops, as its metadata say: hard reset, tanh of the output.

    simulator = NirSimulator(nir.read("policy.nir"))
    action, state = simulator.step(observation, None)       # None: all membranes are 0

    A node hears those before it, on the way from the input, in the same step, and those after it as they were in the last.
    Raises ValueError for a node of another type.
    """

    def __init__(self, graph):
        nir = _package()
        self.dt, self.exponential = float(graph.metadata["dt"]), graph.metadata["discretisation"].startswith("exponential")
        self.nodes = []
        for name in _ahead("input", graph.edges)[1:]:
            node, sources = graph.nodes[name], sorted(source for source, end in graph.edges if end == name)
            if not isinstance(node, (nir.Affine, nir.LIF, nir.Output)):
                raise ValueError(f"node {name}: found {type(node).__name__}, wanted Affine or LIF")
            self.nodes.append((name, node, sources))

    def step(self, observation: np.ndarray, state: Mapping[str, np.ndarray] | None) -> tuple[np.ndarray, dict]:
        """One step in float64: observation [in] to action [out] in [-1, 1], and the state.

        The state has the membranes by name of LIF node, and under "signals" what each node gave.
        """
        before = {} if state is None else state.get("signals", {})
        signals, membranes = {"input": np.asarray(observation, float)}, {}
        for name, node, sources in self.nodes:
            signal = sum(signals[source] if source in signals else before.get(source, 0.0) for source in sources)
            if hasattr(node, "tau"):
                v = 0.0 if state is None else state[name]
                signal, membranes[name] = self._neurons(node, v, signal)
            elif hasattr(node, "weight"):
                signal = np.dot(node.weight.astype(float), signal) + node.bias
            signals[name] = signal
        return np.tanh(signals["output"]), membranes | {"signals": signals}

    def _neurons(self, node, v, signal):
        tau, r, leak, threshold, reset = (
            part.astype(float) for part in (node.tau, node.r, node.v_leak, node.v_threshold, node.v_reset)
        )
        if self.exponential:
            v = leak + np.exp(-self.dt / tau) * (v - leak) + r * signal
        else:
            v = v + self.dt / tau * (leak - v + r * signal)
        spikes = (v > threshold).astype(float)
        return spikes, np.where(spikes > 0, reset, v)


def _ahead(name: str, edges: Iterable[tuple[str, str]], seen: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The nodes in the order in which a walk along the edges first meets them; it turns to the output last."""
    seen += (name,)
    for end in sorted((end for start, end in edges if start == name), key=lambda end: (end == "readout", end)):
        if end not in seen:
            seen = _ahead(end, edges, seen)
    return seen


def _metadata(found: Checkpoint, dt: float, form: NirForm) -> dict[str, str | float]:
    contract = found.manifest.contract
    rule = "forward Euler: v += dt / tau (v_leak - v + r I)"
    if form.exponential:
        rule = "exponential: v = v_leak + exp(-dt / tau) (v - v_leak) + r I"
    return {
        "dt": float(dt),
        "rate_hz": float(contract.rate_hz),
        "discretisation": f"{rule}; one step is one control step of 1 / rate_hz",
        "reset": "hard: in the step of a spike, v = v_reset after the spike",
        "propagation": "a spike reaches the next layer in the same step, its own in the next; all membranes begin at 0",
        "thresholds": "weights and bias of each neuron were divided by its threshold",
        "output": "action = tanh(readout)",
        "observation": contract.observation,
        "action": contract.action,
        "airframe": contract.airframe,
        "airframe_hash": contract.airframe_hash,
        "checkpoint_sha256": found.manifest.sha256,
    } | voltage_words(found)


def _package():
    try:
        import nir
    except ImportError:
        raise UsageError("nir: the package is not installed, wanted for --to nir: pip install nir") from None
    return nir
