"""Exports a policy as an ONNX model of one step. The state is an input and an output.

inputs   observation [vehicles, 18 or 19], membrane [vehicles, neurons]: zeros at first, then the last next_membrane
outputs  action [vehicles, 4] in [-1, 1], next_membrane, spike [vehicles, neurons]

A network of another kind than ours is written as the graph that it is, with its weights inside.
"""

import os
from pathlib import Path

import numpy as np

from spike_ctrl._files import atomic_file
from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.snn.neuron import Reset
from spike_ctrl_export import pass_self_test, voltage_words, writing

OPSET, IR_VERSION = 17, 8  # of 2022: what runtimes on companion computers read


def model(found: Checkpoint):
    """The onnx.ModelProto of a checkpoint, checked by onnx. Raises UsageError."""
    onnx = _package()
    made = found.policy.graph.model(found.weights) if found.graph else _of_layers(found, onnx)
    fields = ("airframe", "airframe_hash", "observation", "action", "rate_hz")
    about = {name: str(getattr(found.manifest.contract, name)) for name in fields}
    about |= {"checkpoint_sha256": found.manifest.sha256} | {k: str(v) for k, v in voltage_words(found).items()}
    onnx.helper.set_model_props(made, about)
    onnx.checker.check_model(made, full_check=True)
    return made


def _of_layers(found: Checkpoint, onnx):
    contract, weights = found.manifest.contract, found.weights
    hidden = range(len(contract.sizes) - 2)
    neurons = sum(contract.sizes[1:-1])
    constants = {"widths": np.array(contract.sizes[1:-1], np.int64)}
    for part in ("beta", "theta", "bias"):
        constants[part] = np.concatenate([weights[f"layer{index}.{part}"] for index in hidden])
    nodes = []

    def node(kind: str, inputs: str, output: str, **attributes) -> None:
        nodes.append(onnx.helper.make_node(kind, inputs.split(), output.split(), **attributes))

    node("Greater", "membrane theta", "was_above")
    node("Cast", "was_above", "last_spike", to=onnx.TensorProto.FLOAT)
    node("Mul", "membrane beta", "leaked")
    if contract.neuron.reset is Reset.SOFT:
        node("Mul", "theta last_spike", "taken")
        node("Sub", "leaked taken", "kept")
    else:
        constants["one"] = np.float32(1)
        node("Sub", "one last_spike", "quiet")
        node("Mul", "leaked quiet", "kept")
    node("Add", "kept bias", "before_input")
    node("Split", "before_input widths", " ".join(f"before{index}" for index in hidden), axis=1)
    if contract.neuron.recurrent:
        node("Split", "last_spike widths", " ".join(f"last_spike{index}" for index in hidden), axis=1)
    signal = "observation"
    for index in hidden:
        constants[f"weight{index}"] = weights[f"layer{index}.weight"].T.copy()
        constants[f"theta{index}"] = weights[f"layer{index}.theta"]
        if contract.neuron.recurrent and index == hidden[-1]:
            node("Concat", f"{signal} last_spike{index}", "heard", axis=1)
            signal = "heard"
        node("MatMul", f"{signal} weight{index}", f"current{index}")
        node("Add", f"before{index} current{index}", f"membrane{index}")
        node("Greater", f"membrane{index} theta{index}", f"above{index}")
        node("Cast", f"above{index}", f"spike{index}", to=onnx.TensorProto.FLOAT)
        signal = f"spike{index}"
    node("Concat", " ".join(f"membrane{index}" for index in hidden), "next_membrane", axis=1)
    node("Concat", " ".join(f"spike{index}" for index in hidden), "spike", axis=1)
    constants |= {"output_weight": weights["output.weight"].T.copy(), "output_bias": weights["output.bias"]}
    node("MatMul", f"{signal} output_weight", "total")
    node("Add", "total output_bias", "readout")
    node("Tanh", "readout", "action")

    def tensors(**widths: int):
        kind = onnx.TensorProto.FLOAT
        return [onnx.helper.make_tensor_value_info(name, kind, ["vehicles", width]) for name, width in widths.items()]

    inputs = tensors(observation=contract.sizes[0], membrane=neurons)
    outputs = tensors(action=contract.sizes[-1], next_membrane=neurons, spike=neurons)
    values = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = onnx.helper.make_graph(nodes, "policy", inputs, outputs, values)
    opset = [onnx.helper.make_opsetid("", OPSET)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="spike_ctrl")


def write(path: str | os.PathLike, found: Checkpoint) -> float | None:
    """Write the model to `path` and run the self-test with onnxruntime. Gives the largest difference of an action.

    None if onnxruntime is not installed. Raises UsageError.
    """
    path, data = Path(path), model(found).SerializeToString()
    with writing(path):
        atomic_file.write(path, data)
    if (running := session(path)) is None:
        return None

    def step(observation, fed):
        action, *after = running.run(None, fed | {"observation": observation[None]})
        return action[0], dict(zip(fed, after, strict=False))  # spikes, which come last, do not go in again

    begin = dict(zip((value.name for value in running.get_inputs()[1:]), _begin(found), strict=True))
    return pass_self_test(path, found, step, begin)


def _begin(found: Checkpoint) -> list[np.ndarray]:
    """The state of one vehicle before the first step."""
    if isinstance(found.policy, SpikingPolicy):
        return [np.zeros((1, len(found.policy.theta)), np.float32)]
    return list(found.policy.initial_state(1))


def session(path: Path):
    """onnxruntime on one thread; None where it is missing."""
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _package():
    try:
        import onnx
    except ImportError:
        raise UsageError("onnx: the package is not installed, wanted for --to onnx: pip install onnx") from None
    return onnx
