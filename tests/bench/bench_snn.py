"""Times of the spiking network: `python tests/bench/bench_snn.py` prints what `measure` returns.

One thread, CPU time of this process, median of several runs. A sequence is forward and backward of one batch through
18-256-128-4. Each ratio is to another way to compute the same, run in turn with ours: single steps under autograd
("eager"), and the libraries that are installed.
"""

import importlib.util
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from spike_ctrl.policy.compiled_runtime import CompiledPolicy
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.snn.lif import lif_step
from spike_ctrl.snn.network import SpikingNetwork

SHAPES = ((100, 256), (100, 32), (32, 48))  # steps, batch
SLOPE = 2.0


def measure(repeats: int = 5) -> dict[str, float]:
    """Named figures: steps of the runtimes in us, sequences in ms, and how many times faster than others."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return runtime_figures() | sequence_figures(repeats)
    finally:
        torch.set_num_threads(threads)


def runtime_figures() -> dict[str, float]:
    """One step of one vehicle by numpy and compiled, in turn, and of 256 by numpy; the first half of each only warms up."""
    weights = _network().weights()
    numpy, compiled = SpikingPolicy(weights), CompiledPolicy(weights)
    runs = {"1": (numpy, None, 10_000), "1_compiled": (compiled, None, 10_000), "256": (numpy, 256, 500)}
    figures = {}
    for name, (policy, batch, repeats) in runs.items():
        rng = np.random.default_rng(0)
        observations = rng.standard_normal((repeats, 18) if batch is None else (repeats, batch, 18)).astype(np.float32)
        state, times = policy.initial_state(batch), []
        for observation in observations:
            start = time.perf_counter()
            _, state = policy.step(observation, state)
            times.append(time.perf_counter() - start)
        figures[f"snn_step_{name}_us"] = 1e6 * statistics.median(times[repeats // 2 :])
    return figures | {"snn_step_times_numpy": figures["snn_step_1_us"] / figures["snn_step_1_compiled_us"]}


def sequence_figures(repeats: int) -> dict[str, float]:
    figures = {}
    peers = {"eager": _eager} | {
        name: make
        for name, make in (("snntorch", _snntorch), ("norse", _norse), ("spikingjelly", _spikingjelly))
        if importlib.util.find_spec(name)
    }
    for steps, batch in SHAPES:
        observation = torch.randn(steps, batch, 18, generator=torch.Generator().manual_seed(1))
        runs = {"ours": _fused()} | {name: make() for name, make in peers.items()}
        times: dict[str, list[float]] = {name: [] for name in runs}
        for repeat in range(repeats + 1):
            for name, run in runs.items():
                elapsed = _cpu_seconds(run, observation)
                if repeat:  # the first one compiles and allocates
                    times[name].append(elapsed)
        median = {name: statistics.median(values) for name, values in times.items()}
        figures[f"snn_sequence_{steps}x{batch}_ms"] = 1e3 * median["ours"]
        for name in peers:
            figures[f"snn_sequence_{steps}x{batch}_times_{name}"] = median[name] / median["ours"]
    return figures


def _cpu_seconds(run: Callable[[torch.Tensor], None], observation: torch.Tensor) -> float:
    start = time.process_time()
    run(observation)
    return time.process_time() - start


def _network() -> SpikingNetwork:
    return SpikingNetwork(generator=torch.Generator().manual_seed(0))


def _fused() -> Callable[[torch.Tensor], None]:
    network = _network()

    def run(observation):
        network.zero_grad()
        action, _, _ = network.unroll(observation, network.initial_state(observation.shape[1]), SLOPE)
        action.square().mean().backward()

    return run


def _eager() -> Callable[[torch.Tensor], None]:
    network = _network()

    def run(observation):
        network.zero_grad()
        state, actions = network.initial_state(observation.shape[1]), []
        for signal in observation.unbind(0):  # as `network.step`, in operations of torch alone
            after = []
            for layer, before in zip(network.layers, state, strict=True):
                current = nn.functional.linear(signal, layer.weight, layer.bias)
                signal, new = lif_step(current, before, layer.neurons(), SLOPE)
                after.append(new)
            actions.append(torch.tanh(nn.functional.linear(signal, network.output.weight, network.output.bias)))
            state = tuple(after)
        torch.stack(actions).square().mean().backward()

    return run


def _snntorch() -> Callable[[torch.Tensor], None]:
    import snntorch
    from snntorch.surrogate import fast_sigmoid

    def neuron(width):
        beta, theta = torch.rand(2, width)
        return snntorch.Leaky(beta, theta, spike_grad=fast_sigmoid(SLOPE), learn_beta=True, learn_threshold=True)

    linears = nn.ModuleList([nn.Linear(18, 256), nn.Linear(256, 128), nn.Linear(128, 4)])
    neurons = nn.ModuleList([neuron(256), neuron(128)])

    def run(observation):
        linears.zero_grad()
        neurons.zero_grad()
        membranes = [torch.zeros(observation.shape[1], width) for width in (256, 128)]
        actions = []
        for signal in observation.unbind(0):
            for index, leaky in enumerate(neurons):
                signal, membranes[index] = leaky(linears[index](signal), membranes[index])
            actions.append(torch.tanh(linears[2](signal)))
        torch.stack(actions).square().mean().backward()

    return run


def _norse() -> Callable[[torch.Tensor], None]:
    from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters, lif_box_feed_forward_step

    linears = nn.ModuleList([nn.Linear(18, 256), nn.Linear(256, 128), nn.Linear(128, 4)])
    leaks, thresholds = (nn.ParameterList([nn.Parameter(torch.rand(width)) for width in (256, 128)]) for _ in range(2))

    def run(observation):
        for part in (linears, leaks, thresholds):
            part.zero_grad()
        states = [LIFBoxFeedForwardState(torch.zeros(observation.shape[1], width)) for width in (256, 128)]
        # It hands the slope to a function that wants a tensor.
        neurons = [
            LIFBoxParameters(tau_mem_inv=leak, v_th=threshold, alpha=torch.tensor(SLOPE))
            for leak, threshold in zip(leaks, thresholds, strict=True)
        ]
        actions = []
        for signal in observation.unbind(0):
            for index, neuron in enumerate(neurons):
                signal, states[index] = lif_box_feed_forward_step(linears[index](signal), states[index], neuron, dt=1.0)
            actions.append(torch.tanh(linears[2](signal)))
        torch.stack(actions).square().mean().backward()

    return run


def _spikingjelly() -> Callable[[torch.Tensor], None]:
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    def lif():  # one learnable leak per layer: it has none per neuron
        return neuron.ParametricLIFNode(
            decay_input=False, v_reset=None, v_threshold=0.5, step_mode="m", surrogate_function=surrogate.Sigmoid()
        )

    def linear(inputs, outputs):
        return layer.Linear(inputs, outputs, step_mode="m")

    network = nn.Sequential(linear(18, 256), lif(), linear(256, 128), lif(), linear(128, 4), nn.Tanh())

    def run(observation):
        network.zero_grad()
        functional.reset_net(network)
        network(observation).square().mean().backward()

    return run


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
