"""The ONNX graph of one step of a network, read from bytes that nobody vouches for.

    inputs       observation [vehicles, in]; state.0, state.1, ... [vehicles, ...]; the weights, each by its name
    outputs      action [vehicles, out] in [-1, 1]; next_state.0, next_state.1, ... as the states
    constants    initial_state.0, initial_state.1, ... [1, ...]: the state before the first step; small numbers of the graph

The weights are inputs, so a graph holds none of them: they lie beside it in the checkpoint.

A graph is read, never trusted. It refers to no other file, calls only operators that compute a result of known size from
their inputs, has no loops and no functions, and every array in it has a size that is known before the first step.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spike_ctrl._files.errors import UsageError

OPSET, MAX_IR_VERSION = 18, 10
MAX_BYTES, MAX_NODES = 2**18, 2000
MAX_WEIGHTS, MAX_RESULTS = 2**22, 2**18  # numbers: of one array of weights; of all results of one vehicle's step
MAX_PRODUCTS = 2**23  # multiplications of one vehicle's step: some 3 ms on one thread, of a control step of 10 ms
OBSERVATION, ACTION, STATE, NEXT_STATE, INITIAL_STATE = "observation", "action", "state.", "next_state.", "initial_state."
TYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.float32),
    7: np.dtype(np.int64),
    9: np.dtype(np.bool_),
}  # of onnx.TensorProto
OPERATORS = frozenset(
    """
    Abs Add And ArgMax ArgMin BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Conv Cos CumSum Div Einsum
    Elu Equal Erf Exp Expand Flatten Floor GRU Gather GatherElements Gemm Greater GreaterOrEqual GroupNormalization
    HardSigmoid HardSwish Identity IsInf IsNaN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax MatMul Max
    Mean Min Mish Mod Mul Neg Not Or PRelu Pad Pow RNN Reciprocal ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare Relu Reshape Round Selu Shape Sigmoid Sign Sin Slice Softmax Softplus Softsign
    Split Sqrt Squeeze Sub Sum Tanh ThresholdedRelu Tile Transpose Unsqueeze Where Xor
    """.split()
)

ROUNDS, MAX_AXES = 64, 8  # of the search for sizes
SIZE_OPERATORS = frozenset("Add Cast Concat Div Gather Identity Mul Reshape Shape Slice Squeeze Sub Unsqueeze".split())


@dataclass(frozen=True)
class NetworkGraph:
    """A graph that passed all checks. data: the ONNX model, in bytes. weights: shape and type of each array that it needs.

    initial_state: of one vehicle, without the axis of vehicles.
    """

    data: bytes
    inputs: int
    outputs: int
    weights: dict[str, tuple[tuple[int, ...], np.dtype[Any]]]
    initial_state: tuple[NDArray[Any], ...]
    nodes: int

    def model(self, weights: Mapping[str, NDArray[Any]]) -> Any:
        """The onnx.ModelProto with these weights as constants. Raises UsageError where they do not fit."""
        onnx = _package()
        for name, (shape, kind) in self.weights.items():
            if name not in weights or weights[name].shape != shape or weights[name].dtype != kind:
                found = f"{weights[name].dtype} {weights[name].shape}" if name in weights else "nothing"
                raise UsageError(f"{name}: found {found}, wanted {kind} {shape}")
        made = onnx.ModelProto.FromString(self.data)
        inputs = [value for value in made.graph.input if value.name not in self.weights]
        del made.graph.input[:]
        made.graph.input.extend(inputs)
        made.graph.initializer.extend(onnx.numpy_helper.from_array(weights[name], name) for name in self.weights)
        return made


def parse(data: bytes) -> NetworkGraph:
    """Read a graph and check everything about it. Raises UsageError, also where the package onnx is not installed."""
    onnx = _package()
    if len(data) > MAX_BYTES:
        raise UsageError(f"found {len(data)} bytes, wanted at most {MAX_BYTES}: weights belong beside the graph")
    try:
        return _parse(data, onnx)
    except UsageError:
        raise
    except Exception as error:  # whatever the parser finds in hostile bytes, the caller gets one kind of error
        raise UsageError(f"not a readable ONNX model: {error}") from None


def _parse(data: bytes, onnx: Any) -> NetworkGraph:
    model = onnx.ModelProto.FromString(data)
    model.DiscardUnknownFields()
    _check_versions(model)
    _check_nodes(model.graph, onnx)
    for tensor in model.graph.initializer:
        _check_tensor(tensor, onnx)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    inputs = {value.name: _shape(value) for value in model.graph.input}
    outputs = {value.name: _shape(value) for value in model.graph.output}
    for name, there, values in (("inputs", inputs, model.graph.input), ("outputs", outputs, model.graph.output)):
        if len(there) != len(values):
            raise UsageError(f"{name}: found {len(values)} with {len(there)} names, wanted a name for each")
    states = sum(name.startswith(STATE) for name in inputs)
    initial = tuple(_initial(constants, f"{INITIAL_STATE}{index}", onnx) for index in range(states))
    width_in, width_out = _check_face(inputs, outputs, initial)
    _check_sizes(model, onnx)
    weights = {name: about for name, about in inputs.items() if name != OBSERVATION and not name.startswith(STATE)}
    for name, (shape, _) in weights.items():
        if any(size is None for size in shape):
            raise UsageError(f"{name}: found shape {shape}, wanted one without a free axis")
    return NetworkGraph(
        model.SerializeToString(),
        width_in,
        width_out,
        {name: (tuple(size or 0 for size in shape), kind) for name, (shape, kind) in weights.items()},
        initial,
        len(model.graph.node),
    )


def _package() -> Any:
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
        import onnx.reference
        import onnx.shape_inference
    except ImportError:
        raise UsageError("the package onnx is not installed, wanted to read the network's graph: pip install onnx") from None
    return onnx


def _check_versions(model: Any) -> None:
    if not 0 < model.ir_version <= MAX_IR_VERSION:
        raise UsageError(f"ir_version: found {model.ir_version}, wanted 1 to {MAX_IR_VERSION}")
    found = [(opset.domain, opset.version) for opset in model.opset_import]
    if found != [("", OPSET)]:
        raise UsageError(f"opset_import: found {found}, wanted [('', {OPSET})]: no operators but those of ONNX")
    for field in ("functions", "training_info", "configuration"):
        if len(getattr(model, field, ())):
            raise UsageError(f"{field}: found some, wanted none")
    for field in ("sparse_initializer", "quantization_annotation"):
        if len(getattr(model.graph, field)):
            raise UsageError(f"{field}: found some, wanted none")


def _check_nodes(graph: Any, onnx: Any) -> None:
    if len(graph.node) > MAX_NODES:
        raise UsageError(f"found {len(graph.node)} operators, wanted at most {MAX_NODES}")
    for node in graph.node:
        if node.domain or node.op_type not in OPERATORS:
            name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            wanted = "one that computes a result of known size from its inputs alone, without control flow"
            raise UsageError(f"operator {name}: found one that may not fly, wanted {wanted}")
        for attribute in node.attribute:
            if attribute.name == "num_outputs" and attribute.i != len(node.output):  # onnx's own inference aborts here
                raise UsageError(f"operator {node.op_type}: num_outputs: found {attribute.i}, wanted {len(node.output)}")
            kinds = onnx.AttributeProto
            if attribute.type in (kinds.GRAPH, kinds.GRAPHS, kinds.SPARSE_TENSOR, kinds.SPARSE_TENSORS):
                raise UsageError(
                    f"operator {node.op_type}, {attribute.name}: found a graph or a sparse array, wanted neither"
                )
            for tensor in (attribute.t, *attribute.tensors):
                _check_tensor(tensor, onnx)


def _check_tensor(tensor: Any, onnx: Any) -> None:
    if tensor.data_location != onnx.TensorProto.DEFAULT or len(tensor.external_data):
        raise UsageError(f"{tensor.name or 'a constant'}: found data in another file, wanted them in the graph")


def _shape(value: Any) -> tuple[tuple[int | None, ...], np.dtype[Any]]:
    """Shape, None where an axis is free, and type of an input or output."""
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or kind.elem_type not in TYPES:
        wanted = ", ".join(map(str, TYPES.values()))
        raise UsageError(f"{value.name}: found another type, wanted an array of {wanted}")
    shape = tuple(size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim)
    if any(size is not None and size <= 0 for size in shape) or math.prod(size or 1 for size in shape) > MAX_WEIGHTS:
        raise UsageError(f"{value.name}: found shape {shape}, wanted 1 to {MAX_WEIGHTS} numbers")
    return shape, TYPES[kind.elem_type]


def _initial(constants: dict[str, Any], name: str, onnx: Any) -> NDArray[Any]:
    if name not in constants:
        raise UsageError(f"{name}: found nothing, wanted the state before the first step")
    try:
        found: NDArray[Any] = onnx.numpy_helper.to_array(constants[name])
    except Exception as error:
        raise UsageError(f"{name}: cannot be read: {error}") from None
    if found.ndim < 1 or len(found) != 1 or not np.isfinite(found).all():
        raise UsageError(f"{name}: found shape {found.shape}, wanted finite numbers (1, ...)")
    return np.array(found[0])


def _check_face(inputs: dict[str, Any], outputs: dict[str, Any], initial: tuple[NDArray[Any], ...]) -> tuple[int, int]:
    """Widths of observation and action; that there are no others than the states, and that those go in as they come out."""
    float32 = TYPES[1]
    widths = []
    for there, name in ((inputs, OBSERVATION), (outputs, ACTION)):
        shape, kind = there.get(name, ((), None))
        if len(shape) != 2 or shape[0] is not None or shape[1] is None or kind != float32:
            raise UsageError(f"{name}: found {kind} {list(shape)}, wanted float32 [vehicles, width]")
        widths.append(int(shape[1]))
    wanted = {ACTION, *(f"{NEXT_STATE}{index}" for index in range(len(initial)))}
    if set(outputs) != wanted:
        raise UsageError(f"outputs: found {', '.join(outputs)}, wanted {', '.join(sorted(wanted))}")
    for index, first in enumerate(initial):
        about = (None, *first.shape), first.dtype
        for there, name in ((inputs, f"{STATE}{index}"), (outputs, f"{NEXT_STATE}{index}")):
            if there.get(name) != about:
                raise UsageError(f"{name}: found {there.get(name)}, wanted {about}, as {INITIAL_STATE}{index}")
    return widths[0], widths[1]


def _check_sizes(model: Any, onnx: Any) -> None:
    """That one vehicle's step has arrays of known sizes only, by ONNX's own inference of shapes."""
    single = onnx.ModelProto()
    single.CopyFrom(model)
    for value in (*single.graph.input, *single.graph.output):
        for size in value.type.tensor_type.shape.dim:
            if not size.HasField("dim_value"):
                size.dim_value = 1
    try:
        onnx.checker.check_model(single, full_check=True)
        for value in single.graph.output:
            value.type.tensor_type.ClearField("shape")  # what the graph says of it counts for nothing here
        known = _known_sizes(single, onnx)
    except Exception as error:
        raise UsageError(f"not a valid ONNX model: {error}") from None
    total, products = 0, 0
    sizes = {tensor.name: list(tensor.dims) for tensor in single.graph.initializer} | known
    for node in single.graph.node:
        for name in filter(None, node.output):
            if known[name] is None:
                raise UsageError(f"operator {node.op_type}: found a result whose size is not known, wanted one that is")
            total += math.prod(known[name])
        products += _products(node, sizes)
    if total > MAX_RESULTS:
        raise UsageError(f"found {total} numbers computed in a step of one vehicle, wanted at most {MAX_RESULTS}")
    if products > MAX_PRODUCTS:
        raise UsageError(f"found {products} multiplications in a step of one vehicle, wanted at most {MAX_PRODUCTS}")


def _products(node: Any, sizes: Mapping[str, Any]) -> int:
    """How many products an operator adds up, at most; of any other one how many numbers it reads."""
    given: list[list[int]] = [sizes[name] for name in node.input if name]
    results: int = sum(math.prod(sizes[name]) for name in node.output if name)
    about = {attribute.name: attribute for attribute in node.attribute}
    if node.op_type == "Einsum":
        return _einsum_products(about["equation"].s.decode(), given)
    if node.op_type == "MatMul":
        return results * given[0][-1]
    if node.op_type == "Gemm":
        turned = "transA" in about and about["transA"].i
        return results * given[0][0 if turned else 1]
    if node.op_type == "Conv":
        return results * math.prod(given[1][1:])
    if node.op_type in ("GRU", "LSTM", "RNN"):
        return math.prod(given[0][:2]) * (math.prod(given[1]) + math.prod(given[2]))
    return max(map(math.prod, given), default=0)


def _einsum_products(equation: str, given: list[list[int]]) -> int:
    """The sizes of all letters of an Einsum, and of what `...` stands for, multiplied."""
    letters: dict[str, int] = {}
    for term, shape in zip(equation.replace(" ", "").partition("->")[0].split(","), given, strict=True):
        before, dots, after = term.partition("...")
        left_out = len(shape) - len(before) - len(after)
        names = [*before, *(f".{left_out - axis}" for axis in range(left_out)), *after] if dots else [*before]
        for name, size in zip(names, shape, strict=True):
            letters[name] = max(letters.get(name, 1), size)
    return math.prod(letters.values())


def _known_sizes(single: Any, onnx: Any) -> dict[str, Any]:
    """Sizes of all results by name; None where they are not known.

    ONNX does not compute sizes that follow from other sizes by arithmetic. That is done here, size by size, by its own
    reference implementation.
    """
    known: dict[str, Any] = {}
    for _ in range(ROUNDS):
        del single.graph.value_info[:]
        inferred = onnx.shape_inference.infer_shapes(single, check_type=True, strict_mode=True).graph
        known = {name: None for node in single.graph.node for name in node.output}
        for value in (*inferred.value_info, *inferred.output, *inferred.input):
            sizes = [size.dim_value if size.HasField("dim_value") else None for size in value.type.tensor_type.shape.dim]
            if value.type.tensor_type.HasField("shape") and None not in sizes:
                known[value.name] = sizes
        if None not in known.values() or not _compute_sizes(single.graph, known, onnx):
            break
    return known


def _compute_sizes(graph: Any, known: dict[str, Any], onnx: Any) -> bool:
    """Make constants of the operators whose result is a size that can be computed. Gives whether there were any."""
    small = [tensor for tensor in graph.initializer if math.prod(tensor.dims) <= MAX_AXES]
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in small}
    computed = False
    for node in graph.node:
        if node.op_type == "Constant":
            for part in node.attribute:
                if part.name == "value":
                    values[node.output[0]] = onnx.numpy_helper.to_array(part.t)
        elif node.op_type in SIZE_OPERATORS and len(node.output) == 1:
            if node.op_type == "Shape" and known.get(node.input[0]) is not None:
                given = {node.input[0]: np.broadcast_to(np.float32(0), known[node.input[0]])}
            else:
                given = {name: values[name] for name in node.input if name in values}
            if len(given) == len(set(filter(None, node.input))):
                alone = onnx.helper.make_graph([node], "size", [], [onnx.ValueInfoProto(name=node.output[0])])
                (found,) = onnx.reference.ReferenceEvaluator(alone, opsets={"": OPSET}).run(None, given)
                if found.size <= MAX_AXES:
                    values[node.output[0]] = found
                    tensor = onnx.numpy_helper.from_array(np.asarray(found))
                    node.CopyFrom(onnx.helper.make_node("Constant", [], list(node.output), value=tensor))
                    computed = True
    return computed
