"""NIR graphs and ONNX models, read back by implementations that we did not write.

- shipped hard-reset policies in snnTorch, in our Euler simulator of the file, and in numpy: the same actions
- the graph's metadata hold what NIR has no words for; a policy with the soft reset is refused in words
- ONNX: 10 000 steps in onnxruntime equal numpy's, both resets
"""

import importlib.util

import nir
import numpy as np
import pytest
import torch
from snntorch.import_nir import import_from_nir

from spike_ctrl._files import resources
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli.main import main
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import Contract
from spike_ctrl.snn.neuron import Neuron
from spike_ctrl.snn.weight_shapes import weight_shapes
from spike_ctrl_export import nir as export_nir
from spike_ctrl_export import nir_readers, onnx, to_nir
from spike_ctrl_export.nir import READERS, NirForm, NirSimulator

RANDOM = np.random.default_rng(5)


def stepper(path):
    """(observation, membrane) -> (action, next_membrane, spike) by onnxruntime."""
    running = onnx.session(path)
    return lambda observation, membrane: running.run(None, {"observation": observation, "membrane": membrane})


def model(name):
    return checkpoint.load(resources.folder("models") / f"{name}.safetensors")


def observations(steps):
    noise = np.random.default_rng(1).standard_normal((steps, 18))
    for step in range(1, steps):
        noise[step] = 0.9 * noise[step - 1] + 0.5 * noise[step]
    return noise.astype(np.float32)


def small(neuron=Neuron("hard"), **changed):
    """A random checkpoint 18-6-5-4, with some of its arrays replaced."""
    random = np.random.default_rng(0)
    shapes = weight_shapes((18, 6, 5, 4), neuron.recurrent)
    weights = {name: random.uniform(0.1, 0.9, shape) for name, shape in shapes.items()}
    weights = {name: np.float32(value) for name, value in (weights | changed).items()}
    contract = Contract("crazyflie", "0", "setpoint_frame_18", "motors", 100.0, (18, 6, 5, 4), neuron)
    return checkpoint.loads(checkpoint.dumps(weights, contract))


def test_snntorch_flies_the_written_policy(tmp_path):
    found = model("crazyflie_hard_reset")
    export_nir.write(tmp_path / "policy.nir", found, "policy", READERS["snntorch"])
    network, state, mine = import_from_nir(nir.read(tmp_path / "policy.nir")), None, found.policy.initial_state()
    spikes = 0.0
    with torch.no_grad():
        for observation in found.self_test:
            readout, state = network(torch.from_numpy(observation)[None], state)
            action, mine = found.policy.step(observation, mine)
            np.testing.assert_allclose(np.tanh(readout[0].numpy()), action, atol=1e-5)
            spikes += mine.spike.mean()
    assert spikes > 0.05 * len(found.self_test)


def test_the_command_offers_every_reader_that_has_a_form():
    assert sorted(to_nir.READERS) == sorted(READERS)


@pytest.mark.parametrize("reader", [None, *READERS])
def test_every_form_of_the_file_is_the_recurrent_policy(tmp_path, reader):
    """Stepped as its metadata say, in double precision, it has numpy's actions; snnTorch has them of its form."""
    found = small(Neuron("hard", recurrent=True), **{"layer1.weight": RANDOM.uniform(-0.6, 0.9, (5, 11))})
    form = READERS[reader] if reader else NirForm()
    export_nir.write(tmp_path / "policy.nir", found, "policy", form)
    simulator, state, mine, spikes = NirSimulator(nir.read(tmp_path / "policy.nir")), None, found.policy.initial_state(), 0
    network, memory = import_from_nir(nir.read(tmp_path / "policy.nir")) if reader == "snntorch" else None, None
    for observation in observations(300):
        action, state = simulator.step(observation, state)
        wanted, mine = found.policy.step(observation, mine)
        np.testing.assert_allclose(action, wanted, atol=1e-5)
        spikes += mine.spike[6:].mean()
        if network is not None:
            with torch.no_grad():
                readout, memory = network(torch.from_numpy(observation)[None], memory)
            np.testing.assert_allclose(np.tanh(readout[0].numpy()), wanted, atol=1e-5)
    assert 30 < spikes < 270


def test_what_snntorch_makes_of_a_file_that_was_not_written_for_it_is_said():
    """It takes 1e-4 s for granted, so it is wrong in silence on a file for .01 s; of what is not installed, that is said."""
    found = {reading: reading for reading in nir_readers.readings(model("crazyflie_hard_reset"), "policy")}
    plain, own = (reading for reading in found if reading.reader == "snntorch")
    assert own.own_form and (own.differ, own.answers) == (0, 16_000) and own.words.startswith("exact")
    assert plain.differ > 8_000 and plain.words.startswith("WRONG, in silence")
    missing = {reading.reader for reading in found if reading.error == "not installed"}
    assert missing >= {name for name in ("norse", "rockpool") if importlib.util.find_spec(name) is None}


def test_ten_thousand_euler_steps_of_the_file_equal_numpy(tmp_path):
    """In float64 against float32: a membrane within 1e-5 of its threshold may spike in one and not in the other; then
    numpy's state is taken over."""
    found = model("crazyflie_hard_reset")
    export_nir.write(tmp_path / "policy.nir", found, "policy")
    simulator, state, flips = NirSimulator(nir.read(tmp_path / "policy.nir")), None, 0
    numpy, mine = found.policy, found.policy.initial_state()
    theta = numpy.theta.astype(float)
    for observation in observations(10_000):
        action, state = simulator.step(observation, state)
        wanted, mine = numpy.step(observation, mine)
        wanted_v = mine.membrane / theta * (1 - mine.spike)
        v = np.concatenate([state["lif0"], state["lif1"]])
        flipped = np.flatnonzero((v == 0) != (wanted_v == 0))
        if len(flipped):
            assert abs(mine.membrane[flipped[0]] - numpy.theta[flipped[0]]) < 1e-5
            state, flips = {"lif0": wanted_v[:256], "lif1": wanted_v[256:]}, flips + 1
        else:
            assert np.abs(action - wanted).max() <= 1e-5
    assert flips <= 10


def test_a_neuron_in_nir_by_hand():
    """beta .5, theta .5: the membranes .4, .6 (spike), then from zero again .4; and without leak .2, .4, .6 (spike), .2."""
    weight = np.zeros((6, 18))
    weight[0, 0], weight[1, 0] = 0.4, 0.2
    beta = np.array([0.5, 1, 0, 0, 0, 0])
    changed = {"layer0.weight": weight, "layer0.bias": np.zeros(6), "layer0.beta": beta, "layer0.theta": np.full(6, 0.5)}
    graph = export_nir.graph(small(**changed), "policy")
    lif = graph.nodes["lif0"]
    assert lif.tau[0] == pytest.approx(0.02) and lif.r[0] == pytest.approx(2) and (lif.v_threshold == 1).all()
    simulator, state, seen = NirSimulator(graph), None, []
    for _ in range(4):
        _, state = simulator.step(np.eye(18)[0], state)
        seen.append(state["lif0"][:2] * 0.5)  # thresholds were divided out
    np.testing.assert_allclose(seen, [[0.4, 0.2], [0, 0.4], [0.4, 0], [0, 0.2]], atol=1e-6)


def test_the_metadata_of_the_file_say_what_nir_cannot(tmp_path):
    found = model("crazyflie_hard_reset")
    export_nir.write(tmp_path / "policy.nir", found, "policy")
    about = nir.read(tmp_path / "policy.nir").metadata
    assert about["dt"] == 0.01 and about["rate_hz"] == 100 and "Euler" in about["discretisation"]
    assert about["reset"].startswith("hard") and about["output"] == "action = tanh(readout)"
    assert (about["airframe"], about["action"], about["observation"]) == ("crazyflie", "motors", "setpoint_frame_18")
    assert about["checkpoint_sha256"] == found.manifest.sha256


def test_a_policy_with_the_soft_reset_is_refused_in_words(tmp_path, capsys):
    soft = str(resources.folder("models") / "crazyflie.safetensors")
    assert main(["export", soft, "--to", "nir", "-o", str(tmp_path / "policy.nir")]) == 2
    assert capsys.readouterr().err == (
        "error: crazyflie.safetensors: reset: found soft, wanted hard: a spike of NIR's neurons resets the membrane, it "
        "cannot subtract the threshold; such a policy is trained by: spike-ctrl train hard_reset\n"
    )
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="--dt: found 0, wanted more than 0 s"):
        export_nir.graph(small(), "policy", NirForm(dt=0))


def test_a_nir_that_loses_metadata_is_refused_in_words(tmp_path, monkeypatch):
    read = nir.read
    monkeypatch.setattr(nir, "read", lambda path: nir.NIRGraph(read(path).nodes, read(path).edges))  # as nir 1.0.4 does
    with pytest.raises(UsageError, match="which loses a graph's metadata, wanted 1"):
        export_nir.write(tmp_path / "policy.nir", small(), "policy")


@pytest.mark.parametrize("name", ["crazyflie", "crazyflie_hard_reset"])
def test_ten_thousand_steps_in_onnxruntime_equal_numpy(tmp_path, name):
    """As the C's: where a spike differs, its membrane is within 1e-5 of the threshold, and numpy's state is taken over."""
    found = model(name)
    assert onnx.write(tmp_path / "policy.onnx", found) < 1e-5
    step, numpy, flips = stepper(tmp_path / "policy.onnx"), found.policy, 0
    state, membrane = numpy.initial_state(), np.zeros((1, 384), np.float32)
    for observation in observations(10_000):
        action, membrane, spike = step(observation[None], membrane)
        wanted, state = numpy.step(observation, state)
        flipped = np.flatnonzero(spike[0] != state.spike)
        if len(flipped):
            assert abs(state.membrane[flipped[0]] - numpy.theta[flipped[0]]) < 1e-5
            membrane, flips = state.membrane[None], flips + 1
        else:
            assert np.abs(action[0] - wanted).max() <= 1e-5
    assert flips <= 10


@pytest.mark.parametrize("recurrent", [False, True])
def test_onnx_steps_a_batch_as_numpy_does(tmp_path, recurrent):
    found = small(Neuron("soft", recurrent=recurrent))
    onnx.write(tmp_path / "policy.onnx", found)
    step, state = stepper(tmp_path / "policy.onnx"), found.policy.initial_state(7)
    membrane = np.zeros((7, 11), np.float32)
    for seen in observations(7 * 20).reshape(20, 7, 18):
        action, membrane, spike = step(seen, membrane)
        wanted, state = found.policy.step(seen, state)
        np.testing.assert_allclose(action, wanted, atol=1e-5)
        np.testing.assert_array_equal(spike.T, state.spike)
    np.testing.assert_allclose(membrane.T, state.membrane, atol=1e-5)


def test_the_verb_writes_both(tmp_path, capsys):
    hard = str(resources.folder("models") / "crazyflie_hard_reset.safetensors")
    for target, words in (("nir", "self-test through the file: 128 steps"), ("onnx", "self-test in onnxruntime: 128 steps")):
        assert main(["export", hard, "--to", target, "-o", str(tmp_path / target)]) == 0
        assert words in capsys.readouterr().out and (tmp_path / target).stat().st_size < 300_000
