"""Policies as single safetensors files, written atomically and distrusted when read.

A checkpoint is the weights, a self-test (observations and the actions that the policy gave for them) and, as JSON under the
metadata key `manifest`, what the policy is and for what it may be used. A network of another kind than ours comes with one
more array, `graph`: the bytes of its step in ONNX, which the plug-in `networks` reads. Nothing here is ever unpickled, and
a file names no code that is imported.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from spike_ctrl import airframe as airframes
from spike_ctrl import plug_ins
from spike_ctrl._files import atomic_file, resources
from spike_ctrl._files.errors import UsageError, meant
from spike_ctrl.airframe import Airframe
from spike_ctrl.policy import manifest as manifests
from spike_ctrl.policy import self_test
from spike_ctrl.policy.manifest import FORMAT, GRAPH_FORMAT, TOLERANCE, CheckpointError, Contract, Manifest, require
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.policy.ordered_runtime import OrderedPolicy
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl.snn.weight_shapes import weight_shapes

__all__ = [
    "Checkpoint", "CheckpointError", "Contract", "Manifest", "about", "dumps", "load", "load_policy", "loads", "place",
    "read", "replace", "require", "save", "sum_of",
]  # fmt: skip

MAX_BYTES = 16 * 2**20
MAX_HEADER_BYTES = 2**18
OBSERVATION, ACTION, GRAPH = "self_test.observation", "self_test.action", "graph"
GRAPH_KIND = "onnx"  # the plug-in that reads the graphs of `manifest.GRAPH_FORMAT`


@dataclass(frozen=True)
class Checkpoint:
    """A policy that passed all checks: `policy.step(observation, state)` flies it.

    self_test: observations [steps, in]. graph: the ONNX model of the step, for a network of another kind than ours. file:
    from where it was read.
    """

    policy: Policy
    manifest: Manifest
    weights: dict[str, NDArray[Any]]
    self_test: NDArray[Any]
    graph: bytes = b""
    file: Path | None = None

    def airframe(self) -> Airframe:
        """The airframe that it was made for: airframe.yaml in the folder of its run, or the one of its name.

        Raises UsageError where none has that name, CheckpointError where the one of that name is another.
        """
        contract = self.manifest.contract
        near = self.file.parents[:2] if self.file else ()  # the stages of a run have a folder of their own
        for beside in (folder / "airframe.yaml" for folder in near):
            with suppress(UsageError):  # a file that cannot be read is none of its run
                if beside.is_file() and (own := airframes.load(beside)).hash == contract.airframe_hash:
                    return own
        try:
            named = airframes.load(contract.airframe)
        except UsageError as error:
            raise UsageError(
                f"{self.file or 'checkpoint'}: {error}; its folder has no airframe.yaml for it either"
            ) from None
        if named.hash != contract.airframe_hash:
            found = f"airframe_hash: found {contract.airframe_hash!r}, wanted {named.hash!r} of airframe {named.name}"
            raise CheckpointError(f"{self.file or 'checkpoint'}: {found}, or its own airframe.yaml in the same folder")
        return named

    def seeing(self, policy: Policy, course: str) -> Policy:
        """A policy of it as one that answers states. course: of the flight, for a policy that sees more than its state."""
        sight = self.manifest.contract.sight
        return policy if sight is None else sight.policy(policy, course)

    def compiled(self, fused: bool = False) -> Policy:
        """The policy with the fastest step for one vehicle: compiled by numba; a graph as it is.

        fused: as it was compiled before sums had one order, see `CompiledPolicy`. Raises ImportError where numba is not
        installed and wanted.
        """
        contract = self.manifest.contract
        if contract.neuron is None:
            return self.policy
        from spike_ctrl.policy.compiled_runtime import CompiledPolicy

        return _marked(CompiledPolicy(self.weights, contract.neuron, contract.voltage, fused), self.manifest)

    def ordered(self) -> Policy:
        """The policy in numpy alone, equal to `compiled` bit by bit, some 30 us a step; a graph as it is."""
        contract = self.manifest.contract
        if contract.neuron is None:
            return self.policy
        return _marked(OrderedPolicy(self.weights, contract.neuron, contract.voltage), self.manifest)


def dumps(
    weights: Mapping[str, NDArray[Any]], contract: Contract, *, graph: bytes | None = None, recipe: str = "",
    seed: int = 0, commit: str = "", command: str = "", evaluation: Mapping[str, Any] | None = None,
    tolerance: float = TOLERANCE, adaptation: Mapping[str, Any] | None = None, learns_plant: bool = False,
    name: str = "checkpoint",
) -> bytes:  # fmt: skip
    """The bytes of a checkpoint, checked as `loads` will check them.

    graph: the step of a network of another kind than ours; then the contract has no neuron. name: what errors call the
    file.
    """
    if (contract.neuron is None) != (graph is not None):
        found, wanted = ("a graph", "None with a graph") if graph is not None else ("no graph", "a neuron without a graph")
        raise CheckpointError(f"{name}: contract.neuron: found {contract.neuron} with {found}, wanted {wanted}")
    if contract.network and graph is None:
        raise CheckpointError(f"{name}: contract.network: found {contract.network!r} without a graph, wanted nothing")
    kept = {key: np.asarray(value, order="C") for key, value in weights.items()}
    policy = _policy(kept, contract, graph, name)
    observation, action = self_test.flight(policy)
    graphs = {} if graph is None else {GRAPH: np.frombuffer(graph, np.uint8)}
    tensors = kept | {OBSERVATION: observation, ACTION: action} | graphs
    about = Manifest(
        contract, recipe, seed, commit, command, dict(evaluation or {}), tolerance, GRAPH_FORMAT if graphs else FORMAT,
        adaptation=dict(adaptation or {}), learns_plant=learns_plant,
    )  # fmt: skip
    try:
        about = dataclasses.replace(about, sha256=_digest(tensors, about))
        text = manifests.text_of(about)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{name}: manifest: {error}; wanted finite numbers, text, lists and mappings") from None
    data: bytes = safetensors.numpy.save(tensors, metadata={"manifest": text})
    loads(data, name=name)
    return data


def save(path: str | os.PathLike[str], weights: Mapping[str, NDArray[Any]], contract: Contract, **manifest: Any) -> bytes:
    """Write a checkpoint so that a kill at any moment leaves the old file or the new one; keywords as for `dumps`.

    Returns the bytes that were written. Raises CheckpointError; then the old file is as it was.
    """
    path = Path(path)
    data = dumps(weights, contract, name=str(path), **manifest)
    replace(path, lambda temporary: atomic_file.fill(temporary, data))
    return data


def load(path: str | os.PathLike[str], *, expect: Mapping[str, Any] | None = None) -> Checkpoint:
    """Read a checkpoint and check everything about it. expect: contract fields and the values that are wanted."""
    return dataclasses.replace(loads(read(path), expect=expect, name=str(path)), file=place(path))


def load_policy(source: str | os.PathLike[str], *, expect: Mapping[str, Any] | None = None) -> Policy:
    """The policy of a checkpoint, ready to fly: `policy.step(observation [18] or [B, 18], state)` each 10 ms.

    source: a path, or the name of a shipped model, such as "crazyflie". expect: contract fields and the values that are
    wanted, as {"airframe": "crazyflie"}. Raises CheckpointError where the file is missing, damaged, of another contract, or
    gives other actions on this machine.

    >>> policy = load_policy("crazyflie")
    >>> policy.inputs, policy.outputs
    (18, 4)
    """
    return load(source, expect=expect).policy


def place(path: str | os.PathLike[str]) -> Path:
    """Where a file lies that may be a checkpoint; a name alone, or in models/, is a shipped one. Raises CheckpointError."""
    path = Path(path)
    beside = str(path.parent) == "models" and path.suffix in ("", ".safetensors")
    if path.exists() or not (beside or (path.parent == Path() and not path.suffix)):
        return path
    folders: list[Path] = [resources.folder("models"), *plug_ins.every("models", "")]
    shipped = {file.stem: file for folder in folders for file in sorted(folder.glob("*.safetensors"))}
    if path.stem not in shipped:
        known = f"known: {', '.join(sorted(shipped))} (or give a path to a .safetensors file)"
        raise CheckpointError(f"model '{path}' not found; {known}{meant(path.stem, list(shipped))}")
    return shipped[path.stem]


def read(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file that may be a checkpoint, see `place`; none of them has been checked."""
    path = place(path)
    if (path / "policy.safetensors").is_file():
        raise CheckpointError(f"{path}: found the folder of a run, wanted its model: {path / 'policy.safetensors'}")
    try:
        if (size := os.stat(path).st_size) > MAX_BYTES:
            raise CheckpointError(f"{path}: size: found {size} bytes, wanted at most {MAX_BYTES}")
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None


def loads(data: bytes, *, expect: Mapping[str, Any] | None = None, name: str = "checkpoint") -> Checkpoint:
    """`load` for bytes that did not come from a file. name: what errors call them."""
    data = bytes(data)
    if len(data) > MAX_BYTES:
        raise CheckpointError(f"{name}: size: found over {MAX_BYTES} bytes, wanted at most that")
    manifest = about(data, name)
    try:
        tensors = safetensors.numpy.load(data)
    except Exception as error:  # whatever the parser finds in hostile bytes, the caller gets one kind of error
        raise CheckpointError(f"{name}: not a readable safetensors file: {error}") from None
    weights = {key: tensor for key, tensor in tensors.items() if key not in (OBSERVATION, ACTION, GRAPH)}
    graph = _graph(tensors, manifest, name)
    if graph is None:
        _check_weights(weights, manifest.contract, name)
    observations, actions = _self_test_tensors(tensors, manifest.contract.sizes, name)
    if (found := _digest(tensors, manifest)) != manifest.sha256:
        raise CheckpointError(f"{name}: sha256: found {found}, wanted {manifest.sha256}: the file was altered")
    require(manifest.contract, expect or {}, name)
    policy = _marked(_policy(weights, manifest.contract, graph, name), manifest)
    try:
        difference = float(np.abs(self_test.answers(policy, observations) - actions).max())
    except Exception as error:  # of onnxruntime, which has no common kind
        raise CheckpointError(f"{name}: self-test: {error}") from None
    if not difference <= manifest.tolerance:
        raise CheckpointError(f"{name}: self-test: found a difference of {difference:.2g}, wanted {manifest.tolerance:.2g}")
    if graph is not None and (largest := float(np.abs(actions).max())) > 1:
        raise CheckpointError(f"{name}: {ACTION}: found {largest:.4g}, wanted -1 to 1: let the network end with tanh")
    return Checkpoint(policy, manifest, weights, observations, graph or b"")


def about(data: bytes, name: str = "checkpoint") -> Manifest:
    """What the bytes of a checkpoint say of themselves; nothing of it has been checked. Raises CheckpointError."""
    return manifests.parse(_metadata(data, name).get("manifest"), name)


def warm_up() -> None:
    """Load what the first network of another kind needs. A plug-in that cannot be loaded is named with its checkpoint."""
    for _, known in plug_ins.loaded("policy_formats"):
        if not isinstance(known, UsageError):
            known.warm_up()


def _policy(weights: Mapping[str, NDArray[Any]], contract: Contract, graph: bytes | None, name: str) -> Policy:
    """The policy of checked weights, or of a graph once that is checked. Raises CheckpointError."""
    if contract.neuron is not None:
        _check_weights(weights, contract, name)
        return SpikingPolicy(weights, contract.neuron, contract.voltage)
    try:
        kind = plug_ins.load("policy_formats", GRAPH_KIND, "graph")
    except UsageError as error:
        raise CheckpointError(f"{name}: {error}") from None
    try:
        policy: Policy = kind.policy(graph or b"", weights, contract.voltage)
    except UsageError as error:
        raise CheckpointError(f"{name}: graph: {error}") from None
    for key, tensor in weights.items():
        if not np.isfinite(tensor).all():
            raise CheckpointError(f"{name}: {key}: found NaN or infinity, wanted finite numbers")
    if contract.sizes != (policy.inputs, policy.outputs):
        raise CheckpointError(f"{name}: contract.sizes: found {contract.sizes}, wanted {(policy.inputs, policy.outputs)}")
    return policy


def _marked(policy: Policy, about: Manifest) -> Policy:
    if isinstance(policy, SpikingPolicy):
        policy.learns_plant = about.learns_plant
    return policy


def _graph(tensors: Mapping[str, NDArray[Any]], about: Manifest, name: str) -> bytes | None:
    """The bytes of the graph, where the format has one."""
    found = tensors.get(GRAPH)
    if about.format != GRAPH_FORMAT:
        if found is not None:
            raise CheckpointError(f"{name}: {GRAPH}: unknown tensor in format {about.format}")
        return None
    if found is None or found.dtype != np.uint8 or found.ndim != 1:
        shown = "nothing" if found is None else f"{found.dtype} {found.shape}"
        raise CheckpointError(f"{name}: {GRAPH}: found {shown}, wanted uint8 [bytes]")
    return found.tobytes()


# --- tensors --------------------------------------------------------------------------------------------------------


def _metadata(data: bytes, name: str) -> dict[str, str]:
    """The metadata of a safetensors file, from its header only, before anything of its size is allocated."""
    if len(data) < 8:
        raise CheckpointError(f"{name}: size: found {len(data)} bytes, wanted a safetensors file: empty or truncated")
    length = int.from_bytes(data[:8], "little")
    if length > MAX_HEADER_BYTES:
        raise CheckpointError(f"{name}: not a checkpoint: its header would have {length} bytes, over {MAX_HEADER_BYTES}")
    if len(data) < 8 + length:
        raise CheckpointError(f"{name}: header: found {len(data) - 8} bytes, wanted {length}: truncated")
    try:
        header = json.loads(data[8 : 8 + length].decode())
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name}: header: not a safetensors file: {error}") from None
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else {}
    if not isinstance(metadata, dict) or set(metadata) - {"manifest"}:
        raise CheckpointError(f"{name}: metadata: found other fields than manifest, wanted a spike_ctrl checkpoint")
    return metadata


def _check_weights(weights: Mapping[str, NDArray[Any]], contract: Contract, name: str) -> None:
    wanted = weight_shapes(contract.sizes, contract.neuron is not None and contract.neuron.recurrent)
    for key in weights:
        if key not in wanted:
            raise CheckpointError(f"{name}: {key}: unknown tensor, wanted {', '.join(wanted)}")
    for key, shape in wanted.items():
        if key not in weights:
            raise CheckpointError(f"{name}: {key}: found nothing, wanted float32 {shape}")
        _check_tensor(weights[key], shape, key, name)
        if key.endswith(".beta") and not (weights[key].min() >= 0 and weights[key].max() <= 1):
            raise CheckpointError(f"{name}: {key}: found {weights[key].min()} to {weights[key].max()}, wanted 0 to 1")
        if key.endswith(".theta") and not weights[key].min() > 0:
            raise CheckpointError(f"{name}: {key}: found {weights[key].min()}, wanted more than 0")


def _self_test_tensors(
    tensors: Mapping[str, NDArray[Any]], sizes: tuple[int, ...], name: str
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Observations and actions of the self-test, checked."""
    steps = None
    for key, width in ((OBSERVATION, sizes[0]), (ACTION, sizes[-1])):
        if key not in tensors:
            raise CheckpointError(f"{name}: {key}: found nothing, wanted float32 [steps, {width}]")
        if steps is None:
            steps = tensors[key].shape[0] if tensors[key].ndim else 0
        _check_tensor(tensors[key], (steps, width), key, name)
        if steps < self_test.LEAST_STEPS:
            raise CheckpointError(f"{name}: {key}: found {steps} steps, wanted at least {self_test.LEAST_STEPS}")
    return tensors[OBSERVATION], tensors[ACTION]


def _check_tensor(tensor: NDArray[Any], shape: tuple[int, ...], key: str, name: str) -> None:
    if tensor.dtype != np.float32 or tensor.shape != shape:
        raise CheckpointError(f"{name}: {key}: found {tensor.dtype} {tensor.shape}, wanted float32 {shape}")
    if not np.isfinite(tensor).all():
        raise CheckpointError(f"{name}: {key}: found NaN or infinity, wanted finite numbers")


def _digest(tensors: Mapping[str, NDArray[Any]], manifest: Manifest) -> str:
    return sum_of(tensors, manifests.text_of(dataclasses.replace(manifest, sha256="")))


def sum_of(arrays: Mapping[str, NDArray[Any]], text: str) -> str:
    """sha256 of a text and of names, types, shapes and values of arrays."""
    digest = hashlib.sha256(text.encode())
    for key in sorted(arrays):
        digest.update(f"{key} {arrays[key].dtype} {arrays[key].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[key]).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def replace(path: Path, write: Callable[[str], None]) -> None:
    """Write a file so that a kill at any moment leaves the old one or the new one. Raises CheckpointError."""
    try:
        atomic_file.replace(path, write)
    except (OSError, SafetensorError) as error:
        text = f"not saved: {atomic_file.reason(error)}; nothing was lost, an older file is as it was"
        raise CheckpointError(f"{path}: {text}") from None
