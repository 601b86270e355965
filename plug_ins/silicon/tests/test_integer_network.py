"""The integer network against the exported C, the float policy, and arithmetic done in another way.

- 10 000 random steps have the membranes of the exported C, bit by bit, with int8 and int4 weights
- with int8 weights it flies as the float policy does
- weights, leaks and membranes have the stated widths; what has other widths is refused
- no sum of any step leaves its bound, and the worst inputs and spikes reach it
- tanh and inputs are rounded as stated
"""

import math

import numpy as np
import pytest

from spike_ctrl._files.errors import UsageError
from spike_ctrl.evaluation.benchmark import evaluate
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.policy import checkpoint
from spike_ctrl.snn.neuron import Neuron
from spike_ctrl_export import c_native, c_source
from spike_ctrl_export.integer_policy import INPUT_BITS, INPUT_LIMIT
from spike_ctrl_silicon.bounds import bounds, signed_bits
from spike_ctrl_silicon.integer_network import TANH, IntegerRuntime, NumberWidths, inputs_of
from spike_ctrl_silicon.quantise import integers, leaks, quantised, rounded


@pytest.fixture(scope="module")
def robust():
    return checkpoint.load("models/crazyflie_robust.safetensors")


@pytest.mark.skipif(c_native.compiler() is None, reason="no C compiler")
@pytest.mark.parametrize("bits", [8, 4])
def test_membranes_of_10_000_steps_are_those_of_the_exported_c(tmp_path, robust, bits, random_observations):
    network = quantised(robust, NumberWidths(bits))
    written = c_source.source(robust, "robust", c_source.Form("int8", 16), tables=network.tables)
    c_source.write(tmp_path, written)
    native, runtime = c_native.NativePolicy(tmp_path, written), IntegerRuntime(network)
    steps, vehicles = 160, 63
    observations = random_observations(steps * vehicles, 18).reshape(steps, vehicles, 18)
    observations[:128, 0] = robust.self_test
    state, in_c, worst = runtime.initial_state(vehicles), native.initial_state(vehicles), 0.0
    for index, observation in enumerate(observations):
        action, state = runtime.step(observation, state)
        c_action, in_c = native.step(observation, in_c)
        assert np.array_equal(in_c.membrane, state.membrane), f"step {index}"
        worst = max(worst, float(np.abs(action - c_action).max()))
    assert 0 < worst < 0.0012  # half a step of the tanh table, 2^-10, and the rounding of the readout's factor


def test_with_int8_weights_it_flies_as_the_float_policy_does():
    found = checkpoint.load("models/crazyflie.safetensors")
    ours, wanted = (
        evaluate(PolicyController(policy), starts=32) for policy in (IntegerRuntime(quantised(found)), found.policy)
    )
    for name, column in ours.columns.items():
        assert column["return_mean"] > 0.99 * wanted.columns[name]["return_mean"], name
    assert ours.hover_error_m["median"] < wanted.hover_error_m["median"] + 0.003


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_weights_use_the_whole_range_of_their_bits_and_nothing_beyond(bits):
    weight = np.random.default_rng(0).normal(0, 1, (5, 40)).astype(np.float32)
    values, unit = integers(weight, bits)
    assert np.abs(values.astype(int)).max() == 2 ** (bits - 1) - 1
    error = np.abs(values.T * unit[:, None] - weight)
    assert ((error <= unit[:, None] / 2 + 1e-9) | (np.abs(values.T) == 2 ** (bits - 1) - 1)).all()


@pytest.mark.installed
def test_leaks_are_multiples_of_2_to_the_minus_12_or_powers_of_two():
    beta = np.linspace(0, 1, 999).astype(np.float32)
    fine, coarse = leaks(beta, "12 bit").astype(int), leaks(beta, "shift").astype(int)
    assert not (fine % 8).any() and np.abs(fine / 2**15 - beta).max() <= 2**-13
    shifts = {0, *(2**k for k in range(3, 16)), *(2**15 - 2**k for k in range(3, 16))}
    assert set(coarse.tolist()) <= shifts


@pytest.mark.parametrize(
    "widths",
    [NumberWidths(1), NumberWidths(9), NumberWidths(membrane=7), NumberWidths(membrane=28), NumberWidths(leak="cubic")],
    ids=str,
)
def test_other_widths_are_refused(robust, widths):
    with pytest.raises(UsageError, match="wanted"):
        quantised(robust, widths)


@pytest.mark.parametrize("membrane", [10, 16])
def test_membranes_stay_within_their_width(random_weights, random_observations, membrane):
    neuron, observations = Neuron(recurrent=True), random_observations(300, 18)
    network = rounded(random_weights((18, 16, 8, 4), True), neuron, NumberWidths(8, membrane=membrane), observations[:20])
    runtime = IntegerRuntime(network)
    state = runtime.initial_state()
    for observation in observations:
        state = runtime.advance(observation, state)
        assert np.abs(state.membrane).max() < 2 ** (membrane - 1)


def test_the_worst_inputs_and_spikes_reach_the_bound_of_each_sum(robust):
    network = quantised(robust)
    found = bounds(network)
    first, last = (layer.weight.astype(int) for layer in network.tables.layers)
    neuron = np.abs(first).sum(0).argmax()
    assert found.sum[0] == np.sign(first[:, neuron]) * int(INPUT_LIMIT) * 2**INPUT_BITS @ first[:, neuron]
    reached = max(abs((sign * last[:, n] > 0) @ last[:, n]) for n in range(last.shape[1]) for sign in (1, -1))
    assert found.sum[1] == reached
    assert signed_bits(127) == 8 and signed_bits(128) == 9


def test_tanh_and_inputs_are_rounded_as_stated():
    assert [TANH[i] for i in (0, 256, 2047)] == [round(2**15 * math.tanh(i / 512)) for i in (0, 256, 2047)]
    values = np.float32([0.0, 0.5 / 4096, -0.5 / 4096, 0.49 / 4096, 63.9999, 64.0, -1e9, 2.5 / 4096])
    assert inputs_of(values).tolist() == [0, 1, -1, 0, 262144, 262144, -262144, 3]
