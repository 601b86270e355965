"""Exports a policy as a NIR graph (neuroir.org) of Affine and LIF nodes. Its metadata hold what NIR cannot express.

    tau dv/dt = (v_leak - v) + r I, a spike where v > v_threshold, then v = v_reset

NIR's neurons are continuous in time. The graph is written for forward Euler with a step of dt, so that one step is one
control step: with tau = dt / (1 - beta), r = tau / dt and v_leak = v_reset = 0 it is v = beta v + I. A neuron without leak
(beta = 1) gets 1 - beta = 2^-52. The weights and bias of each neuron are divided by its threshold, which thereby becomes 1,
because importers such as snnTorch's accept one threshold per layer. NIR has the hard reset only: a policy with the soft
reset is refused.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np

from spike_ctrl._files import atomic_file
from spike_ctrl.export import ExportError, neuron_of
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl.snn.neuron import Reset


def graph(found: Checkpoint, name: str, dt: float):
    """The nir.NIRGraph of a checkpoint for Euler steps of dt (s). name: the checkpoint's, for errors. Raises ExportError."""
    nir = _package()
    contract, neuron = found.manifest.contract, neuron_of(found, name, "NIR")
    if neuron.reset is not Reset.HARD:
        raise ExportError(
            f"{name}: reset: found soft, wanted hard: a spike of NIR's neurons resets the membrane, it cannot subtract the "
            "threshold; such a policy is trained by: spike-ctrl train hard_reset"
        )
    if not 0 < dt < np.inf:
        raise ExportError(f"--dt: found {dt}, wanted more than 0 s")
    if neuron.recurrent:
        raise ExportError(f"{name}: neuron: found recurrent, wanted a network whose layers hear only the one before")
    nodes = {"input": nir.Input({"input": np.array([contract.sizes[0]])})}
    for index, width in enumerate(contract.sizes[1:-1]):
        weight, bias, beta, theta = (
            found.weights[f"layer{index}.{part}"].astype(float) for part in ("weight", "bias", "beta", "theta")
        )
        tau, zero = dt / np.maximum(1 - beta, 2.0**-52), np.zeros(width, np.float32)
        nodes[f"affine{index}"] = nir.Affine(np.float32(weight / theta[:, None]), np.float32(bias / theta))
        nodes[f"lif{index}"] = nir.LIF(np.float32(tau), np.float32(tau / dt), zero, np.ones(width, np.float32), zero)
    nodes["readout"] = nir.Affine(found.weights["output.weight"], found.weights["output.bias"])
    nodes["output"] = nir.Output({"output": np.array([contract.sizes[-1]])})
    names = list(nodes)
    return nir.NIRGraph(nodes, list(pairwise(names)), _metadata(found, dt))


def write(path: str | os.PathLike, found: Checkpoint, name: str, dt: float) -> float:
    """Write the graph to `path` and run the self-test with the file. Gives the largest difference of an action.

    name: of the checkpoint, for errors. dt: s. Raises ExportError.
    """
    path, written = Path(path), graph(found, name, dt)
    try:
        atomic_file.replace(path, lambda temporary: _package().write(temporary, written))
    except OSError as error:
        raise ExportError(f"{path}: cannot be written: {atomic_file.reason(error)}") from None
    read, state, worst = NirSimulator(_package().read(path)), None, 0.0
    wanted = found.policy.initial_state()
    for observation in found.self_test:
        action, state = read.step(observation, state)
        expected, wanted = found.policy.step(observation, wanted)
        worst = max(worst, float(np.abs(action - expected).max()))
    if not worst <= found.manifest.tolerance:
        raise ExportError(f"{path}: self-test: found a difference of {worst:.2g}, wanted {found.manifest.tolerance:.2g}")
    return worst


class NirSimulator:
    """Steps a graph that is a chain of Affine and LIF nodes, as its metadata say: forward Euler, hard reset, tanh.

    simulator = NirSimulator(nir.read("policy.nir"))
    action, state = simulator.step(observation, None)       # None: all membranes are 0

    Raises ValueError for a node of another type.
    """

    def __init__(self, graph):
        nir, after = _package(), dict(graph.edges)
        self.dt, self.chain, name = float(graph.metadata["dt"]), [], "input"
        while (name := after[name]) != "output":
            node = graph.nodes[name]
            if not isinstance(node, (nir.Affine, nir.LIF)):
                raise ValueError(f"node {name}: found {type(node).__name__}, wanted Affine or LIF")
            self.chain.append((name, node, isinstance(node, nir.LIF)))

    def step(self, observation: np.ndarray, state: Mapping[str, np.ndarray] | None) -> tuple[np.ndarray, dict]:
        """One step in float64: observation [in] to action [out] in [-1, 1], and the membranes by name of LIF node."""
        signal, membranes = np.asarray(observation, float), {}
        for name, node, spikes in self.chain:
            if not spikes:
                signal = np.dot(node.weight.astype(float), signal) + node.bias
                continue
            tau, r, leak, threshold, reset = (
                part.astype(float) for part in (node.tau, node.r, node.v_leak, node.v_threshold, node.v_reset)
            )
            v = np.zeros(tau.shape) if state is None else state[name]
            v = v + self.dt / tau * (leak - v + r * signal)
            signal = (v > threshold).astype(float)
            membranes[name] = np.where(signal > 0, reset, v)
        return np.tanh(signal), membranes


def _metadata(found: Checkpoint, dt: float) -> dict[str, str | float]:
    contract = found.manifest.contract
    return {
        "dt": float(dt),
        "rate_hz": float(contract.rate_hz),
        "discretisation": "forward Euler: v += dt / tau (v_leak - v + r I); one step is one control step of 1 / rate_hz",
        "reset": "hard: in the step of a spike, v = v_reset after the spike",
        "propagation": "a spike reaches the next layer in the same step; all membranes begin at 0",
        "thresholds": "weights and bias of each neuron were divided by its threshold",
        "output": "action = tanh(readout)",
        "observation": contract.observation,
        "action": contract.action,
        "airframe": contract.airframe,
        "airframe_hash": contract.airframe_hash,
        "checkpoint_sha256": found.manifest.sha256,
    }


def _package():
    try:
        import nir
    except ImportError:
        raise ExportError("nir: the package is not installed, wanted for --to nir: pip install nir") from None
    return nir
