"""The policy in Loihi's integers.

- a spike moves a membrane by its weight, a membrane leaks away from its decimals, and a spike sets it to 0
- observations become bits and back; what is beyond their range saturates
- each layer has at most 32 decays and 8 thresholds in their range, and even mantissas of 8 bits
- the shipped policy with hard resets flies as its float32 does; one that subtracts its threshold is refused
- a layer that does not fit on a core is refused before anything is written
- flight: 10 000 time steps are those of brian2-loihi, spike by spike
"""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from spike_ctrl._files.errors import UsageError
from spike_ctrl.evaluation.benchmark import evaluate
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.policy import checkpoint
from spike_ctrl_silicon import loihi_network, to_loihi
from spike_ctrl_silicon.loihi_network import LoihiLayer, LoihiNetwork, bit_weights, bits_of, converted
from spike_ctrl_silicon.loihi_runtime import LoihiRuntime

BRIAN2 = os.environ.get("BRIAN2_PYTHON", sys.executable)
HARD = "models/crazyflie_hard_reset.safetensors"


@pytest.fixture(scope="module")
def hard():
    return checkpoint.load(HARD)


def one_neuron(mantissa, exponent, decay, threshold):
    """A network of one neuron that hears the lowest bit of the first input, with weight 1 to the output."""
    lines = bit_weights(1).shape[1]
    weight = np.zeros((lines + 1, 1), np.int64)
    weight[0, 0] = mantissa
    layer = LoihiLayer(weight, np.full(lines + 1, exponent), np.array([decay]), np.array([threshold]))
    return LoihiRuntime(LoihiNetwork((layer,), np.ones((1, 1), np.float32), np.zeros(1, np.float32), False, 1, None, (1,)))


def test_a_membrane_adds_leaks_and_is_reset_as_on_the_chip():
    runtime = one_neuron(mantissa=254, exponent=-1, decay=1000, threshold=190)
    state, seen = runtime.initial_state(), []
    for value in (1, 0, 1, 0, 0):
        _, state = runtime.step(np.float32([value / 1024]), state)
        seen.append((int(state.membrane[0]), int(state.spike[0])))
    weight, left = 254 * 32, 254 * 32 - -(-254 * 32 * 1000 // 4096)
    assert seen[:2] == [(weight, 0), (left, 0)]
    after = left - -(-left * 1000 // 4096) + weight
    assert seen[2:] == [(0, 1), (0, 0), (0, 0)] and after > 190 * 64 > weight


def test_observations_are_their_bits_and_saturate():
    values = np.float32([[0.5, -1.25, 2.5] + [1.0, -0.3] + [0.0] * 7 + [-8.5, 3.0, 0.1] + [15.5, -20.0, 0.0]])
    seen = bits_of(values).T @ bit_weights(18).T
    wanted = np.clip(
        values, [-largest for largest, _ in loihi_network.RANGES[:18]], [2, 2, 2] + [1] * 9 + [8] * 3 + [16] * 3
    )
    assert np.abs(seen - wanted).max() <= 2**-8 + 1e-9 and seen[0, 0] == 0.5 and seen[0, 1] == -1.25


def test_the_numbers_are_those_that_the_chip_has(hard):
    network = converted(hard)
    for layer in network.layers:
        assert (
            not (layer.mantissa % 2).any() and np.abs(layer.mantissa).max() <= 254 and len(np.unique(layer.threshold)) <= 8
        )
        assert layer.threshold.min() > 0 and layer.threshold.max() <= 131071
        assert layer.exponent.min() >= -1 and layer.exponent.max() <= 7 and len(np.unique(layer.decay)) <= 32
    assert len(loihi_network.told(network)) == 4


def test_the_policy_with_hard_resets_flies_as_in_float32_and_one_with_soft_ones_is_refused(hard):
    ours, wanted = (evaluate(PolicyController(one), starts=32) for one in (LoihiRuntime(converted(hard)), hard.policy))
    for name, column in ours.columns.items():
        assert column["return_mean"] > 0.9 * wanted.columns[name]["return_mean"], name
    with pytest.raises(UsageError, match="reset: found soft"):
        converted(checkpoint.load("models/crazyflie.safetensors"))


def test_a_layer_that_does_not_fit_on_a_core_is_refused(hard):
    network = converted(hard)
    wide = network.layers[0]._replace(mantissa=np.zeros((300, 1025), np.int64))
    with pytest.raises(UsageError, match="layer0: found 1025 neurons"):
        loihi_network.told(network._replace(layers=(wide,)))


@pytest.mark.flight
@pytest.mark.parametrize("recurrent", [False, True])
def test_10_000_time_steps_are_those_of_brian2_loihi(hard, random_weights, recurrent, tmp_path):
    weights = random_weights((18, 24, 16, 4), recurrent)
    for name in ("layer0", "layer1"):  # few kinds of neurons: brian2-loihi needs a group for each, and synapses between all
        weights[f"{name}.beta"] = np.random.default_rng(1).choice(np.float32([0.5, 0.9604]), len(weights[f"{name}.beta"]))
    lines = weights["layer0.weight"] @ bit_weights(18), weights["layer1.weight"]
    for name, line, share in zip(("layer0", "layer1"), lines, (1 / 8, 1.0), strict=True):
        weights[f"{name}.theta"] = share * np.abs(np.c_[line, weights[f"{name}.bias"]]).max(axis=1)
    neuron = replace(hard.manifest.contract.neuron, recurrent=recurrent)
    contract = replace(hard.manifest.contract, sizes=(18, 24, 16, 4), neuron=neuron)
    network = converted(replace(hard, weights=weights, manifest=replace(hard.manifest, contract=contract)))
    observations = np.random.default_rng(2).normal(0, 1, (5000, 18)).astype(np.float32)
    (tmp_path / "network.npz").write_bytes(to_loihi.arrays(network, observations))
    (tmp_path / to_loihi.CHECK).write_text(to_loihi.check_script())
    if subprocess.run([BRIAN2, "-c", "import brian2_loihi"], capture_output=True).returncode:
        pytest.skip(
            f'{BRIAN2}: no brian2_loihi; pip install brian2-loihi "numpy<2" in an environment, BRIAN2_PYTHON its python'
        )
    command = [BRIAN2, tmp_path / to_loihi.CHECK, "5000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0 and ", 0 of them different" in done.stdout, done.stdout + done.stderr
    assert int(done.stdout.split()[3]) > 10_000
