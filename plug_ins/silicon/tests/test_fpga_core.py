"""The core's Verilog, simulated by Verilator, against the integer network.

- 10 000 random steps of a recurrent network have its membranes, spikes and actions, bit by bit
- a reset in the middle of a step, at any cycle, makes the next step one from zero; so does a fresh start
- each step takes the cycles that its spikes explain; the longest possible step is never exceeded
- the sources are free of lint for networks of all kinds and any number of lanes
- flight: shipped networks and hard resets are equal, too
"""

import numpy as np
import pytest

from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy import checkpoint
from spike_ctrl.snn.neuron import Neuron
from spike_ctrl_export import write_files
from spike_ctrl_silicon import cycle_count, simulated_core, verilog
from spike_ctrl_silicon.flown_cost import flight
from spike_ctrl_silicon.integer_network import IntegerRuntime, NumberWidths, inputs_of
from spike_ctrl_silicon.quantise import quantised, rounded
from spike_ctrl_silicon.simulated_core import CUT, FRESH, SimulatedCore
from spike_ctrl_silicon.to_fpga import PORTS

simulated = pytest.mark.skipif(simulated_core.missing() is not None, reason=str(simulated_core.missing()))
SIZES, LANES, STEPS = (18, 14, 9, 4), 4, 10_000  # neither layer fills its last group
SHIPPED = ("crazyflie", "crazyflie_robust", "crazyflie_hard_reset", "any_quad", "crazyflie_real", "sih_quadx")


def network_of(weights, neuron, observations, widths=NumberWidths()):
    return rounded(weights, neuron, widths, observations[:64])


def followed(network, observations, flags):
    """Membranes, spikes and actions of the runtime; a step that was cut short leaves the zero state behind it."""
    runtime = IntegerRuntime(network)
    state = runtime.initial_state()
    for observation, flag in zip(observations, flags, strict=True):
        before = runtime.initial_state() if flag & FRESH else state
        if flag & CUT:
            state = runtime.initial_state()
            yield None
            continue
        state = runtime.advance(observation, before)
        yield before, state, runtime.action(state)


def require_equal(network, lanes, observations, flags, steps):
    longest, compared = cycle_count.longest(network, lanes), 0
    for index, one in enumerate(followed(network, observations, flags)):
        if one is None:
            assert steps.cycles[index] == -1
            continue
        before, state, action = one
        assert np.array_equal(steps.membrane[index], state.membrane), f"step {index}"
        assert np.array_equal(steps.spike[index], state.spike), f"step {index}"
        assert np.array_equal(steps.action[index], action), f"step {index}"
        assert steps.cycles[index] == cycle_count.expected(network, lanes, state.spike, before.spike) <= longest
        compared += 1
    return compared


@simulated
def test_10_000_steps_are_equal_bit_by_bit_through_resets_at_any_cycle(random_weights, random_observations):
    observations = random_observations(STEPS, SIZES[0])
    network = network_of(random_weights(SIZES, True), Neuron(recurrent=True), observations)
    rng = np.random.default_rng(2)
    flags = rng.choice([0, FRESH, CUT], STEPS, p=[0.88, 0.02, 0.1]).astype(np.int32)
    cut = rng.integers(0, 150, STEPS).astype(np.int32)  # the shortest step takes 194 cycles
    with SimulatedCore(network, LANES, "-O0") as core:
        steps = core.run(inputs_of(observations), flags, cut)
    assert require_equal(network, LANES, observations, flags, steps) > 8500
    neurons = steps.spike.mean(0)
    assert (neurons > 0.01).sum() > 12 and steps.spike.sum(1).max() > 12  # the network is not silent


@simulated
@pytest.mark.parametrize("lanes", [1, 32])
@pytest.mark.parametrize(
    ("sizes", "neuron", "widths"),
    [
        ((18, 14, 9, 4), Neuron(), NumberWidths(8)),
        ((19, 14, 9, 4), Neuron(recurrent=True), NumberWidths(4)),
        ((18, 20, 4), Neuron(recurrent=True), NumberWidths(8, membrane=24)),
        ((18, 14, 9, 7, 4), Neuron(reset="hard"), NumberWidths(2, membrane=12)),
    ],
    ids=["plain", "recurrent, voltage", "one hidden layer", "hard reset, three hidden layers"],
)
def test_the_sources_are_free_of_lint(tmp_path, random_weights, random_observations, sizes, neuron, widths, lanes):
    observations = random_observations(64, sizes[0])
    network = network_of(random_weights(sizes, neuron.recurrent), neuron, observations, widths)
    write_files(tmp_path, verilog.files(network, lanes, "lint"))
    for top, sources in PORTS.items():
        simulated_core.lint(tmp_path, top, sources)


@simulated
def test_lint_finds_a_number_that_is_cut_off(tmp_path, random_weights, random_observations):
    network = network_of(random_weights(SIZES), Neuron(), random_observations(64, SIZES[0]))
    files = verilog.files(network, 4, "lint")
    files["spike_core.sv"] = files["spike_core.sv"].replace("fired + 16'd1", "fired + 17'd1")
    write_files(tmp_path, files)
    with pytest.raises(UsageError, match="WIDTH"):
        simulated_core.lint(tmp_path, "policy", simulated_core.CORE)


def test_lanes_that_the_core_does_not_have_are_refused(random_weights, random_observations):
    network = network_of(random_weights(SIZES), Neuron(), random_observations(64, SIZES[0]))
    with pytest.raises(UsageError, match="lanes"):
        verilog.files(network, 3, "three")


@simulated
@pytest.mark.flight
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("model", SHIPPED)
def test_shipped_networks_are_equal_in_random_steps_and_in_flight(model, bits, random_observations):
    network = quantised(checkpoint.load(f"models/{model}.safetensors"), NumberWidths(bits))
    found = checkpoint.load(f"models/{model}.safetensors")
    flown, starts = flight(found, network, 20.0)
    observations = np.concatenate([random_observations(STEPS, network.sizes[0]), flown])
    flags = np.zeros(len(observations), np.int32)
    flags[[0, *(STEPS + start for start in starts)]] = FRESH
    with SimulatedCore(network, 8) as core:
        steps = core.run(inputs_of(observations), flags)
    assert require_equal(network, 8, observations, flags, steps) == STEPS + 2000
    assert cycle_count.longest(network, 8) < 10_000  # 200 us at 50 MHz


@simulated
@pytest.mark.flight
@pytest.mark.parametrize(
    ("sizes", "lanes"), [((18, 20, 4), 8), ((18, 14, 9, 7, 4), 1), ((18, 33, 31, 4), 32), ((19, 30, 5), 2)]
)
@pytest.mark.parametrize("neuron", [Neuron(), Neuron(recurrent=True), Neuron(reset="hard", recurrent=True)], ids=str)
def test_networks_of_other_shapes_are_equal(sizes, lanes, neuron, random_weights, random_observations):
    observations = random_observations(2000, sizes[0])
    network = network_of(random_weights(sizes, neuron.recurrent), neuron, observations, NumberWidths(6, membrane=20))
    flags = np.random.default_rng(3).choice([0, FRESH], 2000, p=[0.95, 0.05]).astype(np.int32)
    with SimulatedCore(network, lanes, "-O0") as core:
        steps = core.run(inputs_of(observations), flags)
    assert require_equal(network, lanes, observations, flags, steps) == 2000
