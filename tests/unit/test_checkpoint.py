"""Checkpoints: what was saved comes back, and nothing doubtful is loaded."""

import dataclasses
import json
import os
import pickle

import numpy as np
import pytest
import safetensors.numpy
from small_checkpoint import CONTRACT, SIZES, make_weights

from spike_ctrl._files import resources
from spike_ctrl.learn import training_state
from spike_ctrl.policy import checkpoint, manifest, self_test
from spike_ctrl.policy.checkpoint import CheckpointError, Contract
from spike_ctrl.snn.neuron import Neuron, Reset

ORIGIN = {"recipe": "td3bc", "seed": 7, "commit": "abc", "command": "spike-ctrl train", "evaluation": {"return": 441.5}}


def tamper(data, change_tensors=None, change_manifest=None, rehash=True):
    """The file with tensors or manifest fields changed and, as a forger would do, a digest that fits again."""
    tensors = dict(safetensors.numpy.load(data))
    length = int.from_bytes(data[:8], "little")
    fields = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["manifest"])
    if change_tensors:
        change_tensors(tensors)
    if rehash:
        original = manifest.parse(manifest.canonical(fields), "original")
        fields["sha256"] = checkpoint._digest(tensors, original)
    if change_manifest:
        change_manifest(fields)
    return safetensors.numpy.save(tensors, metadata={"manifest": manifest.canonical(fields)})


@pytest.fixture(scope="module")
def data():
    return checkpoint.dumps(make_weights(), CONTRACT, **ORIGIN)


def refused(data, match=None, **options):
    with pytest.raises(CheckpointError, match=match) as caught:
        checkpoint.loads(data, name="policy.safetensors", **options)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("policy.safetensors: ")


def test_what_was_saved_comes_back(tmp_path):
    path, weights = tmp_path / "policy.safetensors", make_weights()
    written = checkpoint.save(path, weights, CONTRACT, **ORIGIN)
    assert path.read_bytes() == written
    loaded = checkpoint.load(path)
    assert loaded.manifest.contract == CONTRACT
    assert {name: getattr(loaded.manifest, name) for name in ORIGIN} == ORIGIN
    assert all(np.array_equal(loaded.weights[name], weights[name]) for name in weights)
    action, _ = loaded.policy.step(np.zeros(18, np.float32), loaded.policy.initial_state())
    assert action.shape == (4,)
    assert os.listdir(tmp_path) == ["policy.safetensors"]


def test_the_same_policy_gives_the_same_bytes(data):
    assert checkpoint.dumps(make_weights(), CONTRACT, **ORIGIN) == data


def test_a_hard_reset_is_remembered():
    contract = Contract("x", "y", "setpoint_frame_18", "rates", 250.0, SIZES, Neuron(Reset.HARD))
    loaded = checkpoint.loads(checkpoint.dumps(make_weights(), contract))
    assert loaded.policy.neuron.reset is Reset.HARD


def test_a_recurrent_network_is_remembered_and_its_weights_must_fit():
    contract = dataclasses.replace(CONTRACT, neuron=Neuron(recurrent=True))
    width, inputs = SIZES[-2], SIZES[-3]
    heard = np.random.default_rng(5).uniform(-0.1, 0.1, (width, inputs + width)).astype(np.float32)
    last = f"layer{len(SIZES) - 3}.weight"
    loaded = checkpoint.loads(data := checkpoint.dumps(make_weights() | {last: heard}, contract))
    assert loaded.policy.neuron.recurrent and loaded.policy.sizes == SIZES
    refused(data, "neuron: found .*, wanted ", expect={"neuron": Neuron()})
    with pytest.raises(CheckpointError, match=f"{last}: found"):
        checkpoint.dumps(make_weights(), contract)
    with pytest.raises(CheckpointError, match=f"{last}: found"):
        checkpoint.dumps(make_weights() | {last: heard}, CONTRACT)


def test_the_self_test_keeps_its_distance_from_thresholds(data):
    loaded = checkpoint.loads(data)
    observations = safetensors.numpy.load(data)[checkpoint.OBSERVATION]
    state = loaded.policy.initial_state()
    for observation in observations:
        _, state = loaded.policy.step(observation, state)
        assert np.abs(state.membrane - loaded.policy.theta).min() > self_test.MARGIN
    assert len(observations) >= 100


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.proves("23U")
def test_every_flipped_bit_is_noticed(data):
    rng = np.random.default_rng(0)
    header = 8 + int.from_bytes(data[:8], "little")
    for position in np.concatenate([np.arange(header), rng.integers(header, len(data), 300)]):
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(rng.integers(8))
        refused(bytes(damaged))


@pytest.mark.proves("23U")
def test_every_truncation_and_extension_is_noticed(data):
    rng = np.random.default_rng(1)
    for length in [*range(0, 32), *rng.integers(32, len(data), 200), len(data) - 1]:
        refused(data[:length])
    refused(data + b"\0")


def test_random_bytes_are_refused(data):
    rng = np.random.default_rng(2)
    for _ in range(200):
        refused(rng.bytes(int(rng.integers(0, 4096))))
        body = rng.bytes(64)
        refused(len(body).to_bytes(8, "little") + body)
    refused((8).to_bytes(8, "little") + b"[[[[[[[[", "header: not a safetensors file")
    refused((100_000).to_bytes(8, "little") + b"[" * 100_000, "header: not a safetensors file")


class Trap:
    def __reduce__(self):
        return os.abort, ()


@pytest.mark.proves("26U")
def test_a_pickle_is_refused_and_never_run(tmp_path):
    path = tmp_path / "policy.pt"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CheckpointError, match="header"):
        checkpoint.load(path)
    with pytest.raises(CheckpointError, match="not a readable training state"):
        training_state.load(path)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "policy.safetensors"
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(CheckpointError, match=r"size: found 1099511627776 bytes, wanted at most 16777216"):
        checkpoint.load(path)


@pytest.mark.proves("26U")
def test_a_huge_header_is_refused():
    refused((1 << 62).to_bytes(8, "little") + b"{}", "its header would have 4611686018427387904 bytes, over 262144")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="absent: cannot be read: No such file"):
        checkpoint.load(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="cannot be read: Is a directory"):
        checkpoint.load(tmp_path)
    (model := tmp_path / "policy.safetensors").touch()
    with pytest.raises(CheckpointError, match=f"found the folder of a run, wanted its model: {model}"):
        checkpoint.load(tmp_path)


def test_a_foreign_safetensors_file_is_refused(data):
    refused(safetensors.numpy.save({"x": np.zeros(3)}), "manifest: found nothing")
    refused(safetensors.numpy.save({"x": np.zeros(3)}, metadata={"format": "pt"}), "metadata: found other fields")
    refused(safetensors.numpy.save({}, metadata={"manifest": "[]"}), "manifest: found list, wanted a mapping")
    refused(safetensors.numpy.save({}, metadata={"manifest": "{"}), "manifest: not valid JSON")
    refused(safetensors.numpy.save({}, metadata={"manifest": "[" * 100_000}), "manifest: not valid JSON")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.update({"extra": np.zeros(2, np.float32)}), "extra: unknown tensor"),
        (lambda t: t.pop("layer1.theta"), r"layer1\.theta: found nothing, wanted float32 \(16,\)"),
        (
            lambda t: t.update({"output.bias": np.zeros(5, np.float32)}),
            r"output\.bias: found float32 \(5,\), wanted float32 \(4,\)",
        ),
        (lambda t: t.update({"output.bias": np.zeros(4)}), r"output\.bias: found float64 \(4,\), wanted float32 \(4,\)"),
        (
            lambda t: t.update({"output.bias": np.array([1, 2, np.nan, 3], np.float32)}),
            r"output\.bias: found NaN or infinity",
        ),
        (lambda t: t.update({"layer0.bias": np.full(24, -np.inf, np.float32)}), r"layer0\.bias: found NaN or infinity"),
        (
            lambda t: t.update({"layer0.beta": np.full(24, 1.5, np.float32)}),
            r"layer0\.beta: found 1\.5 to 1\.5, wanted 0 to 1",
        ),
        (lambda t: t.update({"layer0.theta": np.zeros(24, np.float32)}), r"layer0\.theta: found 0\.0, wanted more than 0"),
        (lambda t: t.pop("self_test.action"), r"self_test\.action: found nothing"),
        (lambda t: t.pop("self_test.observation"), r"self_test\.observation: found nothing"),
        (
            lambda t: t.update(
                {"self_test.observation": t["self_test.observation"][:99], "self_test.action": t["self_test.action"][:99]}
            ),
            r"self_test\.observation: found 99 steps, wanted at least 100",
        ),
        (
            lambda t: t.update({"self_test.observation": np.array(3, np.float32)}),
            r"self_test\.observation: found float32 \(\)",
        ),
        (
            lambda t: t.update({"self_test.action": t["self_test.action"] + np.float32(0.01)}),
            "self-test: found a difference of 0.01",
        ),
    ],
)
@pytest.mark.proves("25U")
def test_tensors_that_do_not_fit_are_refused_by_name(data, change, match):
    tensors = dict(safetensors.numpy.load(data))
    change(tensors)
    complete = {checkpoint.OBSERVATION, checkpoint.ACTION} <= set(tensors)
    refused(tamper(data, change, rehash=complete), match)


@pytest.mark.parametrize("key", ["airframe", "airframe_hash", "observation", "action", "rate_hz", "sizes", "neuron"])
def test_a_manifest_without_a_contract_field_is_refused_by_name(data, key):
    refused(tamper(data, change_manifest=lambda m: m["contract"].pop(key)), rf"key 'contract\.{key}' is missing")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda m: m.update(format=3), "format: found 3, wanted 1 or 2"),
        (lambda m: m.update(format=2), "unknown key 'contract.neuron'"),
        (lambda m: m.pop("format"), "key 'format' is missing"),
        (lambda m: m.pop("seed"), "key 'seed' is missing"),
        (lambda m: m.update(seed="1"), "seed: found '1', wanted a whole number"),
        (lambda m: m.update(surprise=1), "unknown key 'surprise'"),
        (lambda m: m["contract"].update(sizes=[18, 4]), r"contract\.sizes: found \[18, 4\]"),
        (lambda m: m["contract"].update(sizes=[18, 1 << 40, 4]), r"contract\.sizes: found"),
        (lambda m: m["contract"].update(rate_hz=-1.0), r"contract\.rate_hz: found -1\.0"),
        (lambda m: m["contract"].update(neuron={"reset": "zero"}), r"contract\.neuron\.reset: found 'zero'"),
        (lambda m: m["contract"].update(neuron={"tau": 1}), r"contract\.neuron: found fields \['tau'\]"),
        (lambda m: m.update(recipe="other"), "sha256: found .* the file was altered"),
        (lambda m: m["contract"].update(airframe="x500"), "sha256: found .* the file was altered"),
        (lambda m: m.update(tolerance=1e-3), "sha256: found .* the file was altered"),
        (lambda m: m.update(tolerance=1e9), "tolerance: found 1000000000.0, wanted 0 to 0.01"),
        (lambda m: m["contract"].update(airframe="../mine.yaml"), "contract.airframe: found '../mine.yaml', wanted a name"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_by_name(data, change, match):
    refused(tamper(data, change_manifest=change), match)


@pytest.mark.proves("24U")
def test_a_contract_that_is_wanted_is_found_or_named(data):
    wanted = {"airframe": "crazyflie", "sizes": SIZES, "neuron": Neuron(), "rate_hz": 100}
    assert checkpoint.loads(data, expect=wanted).manifest.contract == CONTRACT
    for key, value in {
        "airframe": "x500",
        "airframe_hash": "ffff",
        "observation": "world_18",
        "action": "rates",
        "rate_hz": 250,
        "sizes": (18, 256, 128, 4),
        "neuron": Neuron(Reset.HARD),
    }.items():
        refused(data, f"{key}: found .*, wanted ", expect={key: value})
    refused(data, "airfrme: unknown contract field", expect={"airfrme": "crazyflie"})


@pytest.mark.parametrize("evaluation", [{"return": float("nan")}, {"return": np.float32(1)}, {"return": object()}])
def test_an_evaluation_that_is_not_plain_is_refused_when_saving(evaluation):
    with pytest.raises(CheckpointError, match="manifest: "):
        checkpoint.dumps(make_weights(), CONTRACT, evaluation=evaluation)


def test_weights_that_would_not_load_are_not_saved(tmp_path):
    path, weights = tmp_path / "policy.safetensors", make_weights()
    weights["layer0.weight"][3, 3] = np.nan
    with pytest.raises(CheckpointError, match=r"policy.safetensors: layer0\.weight: found NaN"):
        checkpoint.save(path, weights, CONTRACT)
    assert not os.listdir(tmp_path)


def test_a_shipped_model_is_found_from_any_folder_and_a_file_there_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = checkpoint.read("models/crazyflie.safetensors")
    assert shipped == (resources.folder("models") / "crazyflie.safetensors").read_bytes()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "crazyflie.safetensors").write_bytes(b"another")
    assert checkpoint.read("models/crazyflie.safetensors") == b"another"
    with pytest.raises(CheckpointError, match=r"models/nobody\.safetensors' not found; known: any_quad, "):
        checkpoint.read("models/nobody.safetensors")
