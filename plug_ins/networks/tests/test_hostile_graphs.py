"""Checkpoints with a graph from somebody else: what must not run is refused in words, and nothing crashes the reader."""

import json
import sys

import numpy as np
import onnx
import pytest
import safetensors.numpy
from onnx import TensorProto, helper, numpy_helper
from plain_networks import GRU, contract, graph_once, saved

from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy import checkpoint, manifest
from spike_ctrl.policy.checkpoint import CheckpointError
from spike_ctrl_networks.onnx_graph import weights_of
from spike_ctrl_networks.onnx_runtime import OnnxPolicy


@pytest.fixture(scope="module")
def gru():
    module = GRU()
    return module, saved(module, evaluation={"return": 1.0})


def tampered(data, change_model=None, change_tensors=None, change_manifest=None):
    """The file with another graph, arrays or manifest and, as a forger would do, a digest that fits again."""
    tensors = dict(safetensors.numpy.load(data))
    length = int.from_bytes(data[:8], "little")
    fields = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["manifest"])
    if change_model:
        model = onnx.ModelProto.FromString(tensors["graph"].tobytes())
        change_model(model)
        tensors["graph"] = np.frombuffer(model.SerializeToString(), np.uint8)
    if change_tensors:
        change_tensors(tensors)
    if change_manifest:
        change_manifest(fields)
    fields["sha256"] = checkpoint._digest(tensors, manifest.parse(manifest.canonical(fields), "forged"))
    return safetensors.numpy.save(tensors, metadata={"manifest": manifest.canonical(fields)})


def refused(data, match=None):
    with pytest.raises(CheckpointError, match=match) as caught:
        checkpoint.loads(data, name="policy.safetensors")
    assert "\n" not in str(caught.value) and str(caught.value).startswith("policy.safetensors: ")


def put(*nodes):
    """Nodes before the others of the graph."""

    def change(model):
        old = list(model.graph.node)
        del model.graph.node[:]
        model.graph.node.extend([*nodes, *old])

    return change


def external(model, where):
    tensor = model.graph.initializer.add() if where.startswith("initializer") else None
    if where.endswith("twin"):
        model.graph.initializer.append(numpy_helper.from_array(np.zeros(4, np.float32), "secret"))
    if tensor is None:
        node = helper.make_node("Constant", [], ["secret"], value=numpy_helper.from_array(np.zeros(4, np.float32)))
        model.graph.node.insert(0, node)
        tensor = model.graph.node[0].attribute[0].t
    tensor.name, tensor.data_type = "secret", TensorProto.FLOAT
    tensor.ClearField("raw_data")
    del tensor.dims[:]
    tensor.dims.append(4)
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "secret.bin"


@pytest.mark.parametrize("where", ["initializer", "attribute", "initializer with a twin"])
def test_external_data_is_refused_and_never_read(gru, where, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    opened = []
    sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" else None)
    refused(tampered(gru[1], lambda model: external(model, where)), "graph: secret: found data in another file")
    assert not [path for path in opened if "secret" in str(path)]


def loop(model):
    body = helper.make_graph([], "body", [], [])
    model.graph.node.insert(0, helper.make_node("Loop", ["", ""], [], body=body))


def hidden_graph(model):
    model.graph.node[0].attribute.append(helper.make_attribute("body", helper.make_graph([], "body", [], [])))


def huge_result(model):
    shape = numpy_helper.from_array(np.array([1 << 20, 1 << 10], np.int64), "many")
    model.graph.initializer.append(shape)
    put(helper.make_node("ConstantOfShape", ["many"], ["huge"]))(model)


def many_products(model):
    """Results are few, products many: three chains of products of matrices of 256."""
    wide = numpy_helper.from_array(np.zeros((1, 256), np.float32), "wide")
    model.graph.initializer.append(wide)
    put(
        helper.make_node("Gemm", ["wide", "wide"], ["square"], transA=1),
        *(
            helper.make_node("Einsum", ["observation", *["square"] * 3], [f"sum{n}"], equation="bi,jk,kl,lj->b")
            for n in range(3)
        ),
    )(model)


def unknown_result(model):
    put(
        helper.make_node("ReduceMax", ["observation"], ["peak"], keepdims=0),
        helper.make_node("Cast", ["peak"], ["count"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["count", "one"], ["counts"]),
        helper.make_node("ConstantOfShape", ["counts"], ["many"]),
    )(model)
    model.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "one"))


def bomb(model):
    """Sizes of sizes: onnx would fill the memory in propagating them."""
    numbers = {"begin": [0], "end": [1], "huge": [3242591731706757119]}
    model.graph.initializer.extend(numpy_helper.from_array(np.array(v, np.int64), name) for name, v in numbers.items())
    put(
        helper.make_node("Shape", ["observation"], ["dims"]),
        helper.make_node("Slice", ["dims", "begin", "end"], ["vehicles"]),
        helper.make_node("Reshape", ["vehicles", "huge"], ["axes"]),
        helper.make_node("Concat", ["vehicles", "axes"], ["shape"], axis=0),
        helper.make_node("Reshape", ["observation", "shape"], ["exploded"]),
    )(model)


def liar(model):
    """The actions are as many as the observation says, whatever the graph says of their shape."""
    last = model.graph.node[-1]
    last.output[0] = "few"
    model.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "one"))
    model.graph.node.extend(
        [
            helper.make_node("ReduceMax", ["observation"], ["peak"], keepdims=0),
            helper.make_node("Cast", ["peak"], ["count"], to=TensorProto.INT64),
            helper.make_node("Reshape", ["count", "one"], ["counts"]),
            helper.make_node("Concat", ["counts", "one"], ["shape"], axis=0),
            helper.make_node("Expand", ["few", "shape"], ["action"]),
        ]
    )


def many_nodes(model):
    put(*(helper.make_node("Identity", ["observation"], [f"copy{index}"]) for index in range(3000)))(model)


def attribute(model, name):
    return next(found for node in model.graph.node for found in node.attribute if found.name == name)


def crowd(model):
    """The vehicles' actions are added up."""
    last = model.graph.node[-1]
    last.output[0] = "each"
    model.graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), "vehicles"))
    model.graph.node.append(helper.make_node("ReduceSum", ["each", "vehicles"], ["action"], keepdims=1))


def ballast(model):
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1 << 17, np.float32), "ballast"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            put(helper.make_node("RandomNormal", [], ["noise"], shape=[1])),
            "operator RandomNormal: found one",
        ),
        (put(helper.make_node("Read", [], ["bytes"], domain="evil")), r"operator evil\.Read: found one that may not fly"),
        (loop, "operator Loop: found one that may not fly"),
        (hidden_graph, "found a graph or a sparse array"),
        (lambda m: m.opset_import.append(helper.make_opsetid("evil", 1)), "opset_import: found"),
        (lambda m: setattr(m, "ir_version", 99), "ir_version: found 99"),
        (lambda m: m.functions.append(helper.make_function("f", "F", [], [], [], [])), "functions: found some"),
        (huge_result, "numbers computed in a step of one vehicle, wanted at most"),
        (many_products, "multiplications in a step of one vehicle, wanted at most 8388608"),
        (unknown_result, "operator ConstantOfShape: found a result whose size is not known"),
        (bomb, "not a valid ONNX model: cannot reshape array of size 1"),
        (liar, "operator Expand: found a result whose size is not known"),
        (many_nodes, "operators, wanted at most 2000"),
        (ballast, "bytes, wanted at most 262144: weights belong beside the graph"),
        (lambda m: m.graph.output.pop(), "outputs: found action, wanted action, next_state.0"),
        (lambda m: m.graph.output.append(m.graph.output[0]), "outputs: found 3 with 2 names, wanted a name for each"),
        (lambda m: m.graph.initializer.pop(), "initial_state.0: found nothing"),
        (lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 11), "observation: found another type"),
        (lambda m: setattr(attribute(m, "num_outputs"), "i", 1), "operator Split: num_outputs: found 1, wanted 3"),
        (crowd, "results of 2 vehicles: found shapes"),
        (lambda m: m.graph.node.pop(), "not a valid ONNX model"),
        (lambda m: m.graph.node.append(m.graph.node[0]), "not a valid ONNX model"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_graph_that_must_not_run_is_refused_in_words(gru, change, words):
    refused(tampered(gru[1], change), words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("graph"), "graph: found nothing, wanted uint8"),
        (lambda t: t.update(graph=np.zeros(40, np.float32)), "graph: found float32"),
        (lambda t: t.update(graph=np.frombuffer(b"no protobuf at all", np.uint8)), "graph: "),
        (lambda t: t.update(graph=np.zeros(0, np.uint8)), "graph: ir_version: found 0"),
        (lambda t: t.pop("readout.bias"), r"graph: readout\.bias: found nothing, wanted float32 \(4,\)"),
        (lambda t: t.update({"readout.bias": np.zeros(5, np.float32)}), r"readout\.bias: found float32 \(5,\)"),
        (lambda t: t.update({"readout.bias": np.full(4, np.nan, np.float32)}), r"readout\.bias: found NaN"),
        (lambda t: t.update({"extra": np.zeros(5, np.float32)}), "extra: unknown tensor"),
        (lambda t: t.update({"readout.bias": t["readout.bias"] + np.float32(0.1)}), "self-test: found a difference of"),
    ],
)
def test_arrays_that_do_not_fit_the_graph_are_refused_by_name(gru, change, words):
    refused(tampered(gru[1], change_tensors=change), words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m["contract"].update(sizes=[18, 32, 4]), r"contract\.sizes: found \[18, 32, 4\], wanted inputs, outputs"),
        (lambda m: m["contract"].update(sizes=[17, 4]), "self_test.observation: found"),
        (lambda m: m["contract"].update(neuron={"reset": "soft"}), r"unknown key 'contract\.neuron'"),
        (lambda m: m["contract"].update(network=3), r"contract\.network: found 3, wanted text"),
    ],
)
def test_a_contract_that_does_not_fit_the_graph_is_refused_by_name(gru, change, words):
    data = gru[1]
    length = int.from_bytes(data[:8], "little")
    fields = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["manifest"])
    change(fields)
    refused(safetensors.numpy.save(safetensors.numpy.load(data), metadata={"manifest": manifest.canonical(fields)}), words)


def test_every_flipped_bit_and_every_truncation_is_noticed(gru):
    data, dice = gru[1], np.random.default_rng(0)
    for position in dice.integers(0, len(data), 300):
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(dice.integers(8))
        refused(bytes(damaged))
    for length in dice.integers(0, len(data), 50):
        refused(data[:length])


def test_bits_that_a_forger_flips_in_the_graph_never_crash_the_reader(gru):
    """Each gives a graph that is refused, or one that runs within all limits."""
    graph, dice = safetensors.numpy.load(gru[1])["graph"], np.random.default_rng(0)
    for _ in range(2000):
        damaged = graph.copy()
        damaged[dice.integers(len(damaged))] ^= 1 << int(dice.integers(8))
        try:
            policy = OnnxPolicy(damaged.tobytes(), weights_of(gru[0]))
        except UsageError as error:
            assert "\n" not in str(error)
        else:
            action, _ = policy.step(
                np.random.default_rng(3).standard_normal((3, 18)).astype(np.float32), policy.initial_state(3)
            )
            assert action.shape == (3, policy.outputs)


@pytest.mark.parametrize(
    ("about", "graph", "words"),
    [
        (contract("crazyflie"), False, r"contract\.neuron: found None with no graph"),
        (
            checkpoint.load("models/crazyflie.safetensors").manifest.contract,
            True,
            r"neuron: found .* with a graph",
        ),
    ],
)
def test_graph_and_neuron_exclude_each_other(gru, about, graph, words):
    given = {"graph": graph_once(gru[0])} if graph else {}
    with pytest.raises(CheckpointError, match=words):
        checkpoint.dumps(weights_of(gru[0]), about, **given)
