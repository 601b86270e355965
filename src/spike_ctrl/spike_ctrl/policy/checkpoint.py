"""Policies and training states as single safetensors files, written atomically and distrusted when read.

A checkpoint is the weights, a self-test (observations and the actions that the numpy runtime gave for them) and, as JSON
under the metadata key `manifest`, what the policy is and for what it may be used. Nothing here is ever unpickled.
"""

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from spike_ctrl._files import atomic_file, resources
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.snn.neuron import PAPER, Neuron
from spike_ctrl.snn.weight_shapes import weight_shapes

FORMAT = 1
MAX_BYTES = 16 * 2**20
MAX_HEADER_BYTES = 2**18
SELF_TEST_STEPS = 128
SELF_TEST_MARGIN = 1e-5
TOLERANCE = 1e-4
OBSERVATION, ACTION = "self_test.observation", "self_test.action"


class CheckpointError(Exception):
    """A file that cannot be trusted or written. One line: file, field, what was found, what is wanted."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.split()))


@dataclass(frozen=True)
class Contract:
    """What must agree before a policy may command a vehicle.

    airframe and airframe_hash: the vehicle it was trained for. observation and action: the layouts, such as
    "setpoint_frame_18" and "motors" or "rates". rate_hz: control steps per second. sizes: inputs, hidden widths, outputs.
    """

    airframe: str
    airframe_hash: str
    observation: str
    action: str
    rate_hz: float
    sizes: tuple[int, ...]
    neuron: Neuron = PAPER


@dataclass(frozen=True)
class Manifest:
    """The contract, where the policy comes from, how well it flew, and how far the self-test may be off.

    sha256 covers names, shapes, types and values of all tensors and the rest of the manifest.
    """

    contract: Contract
    recipe: str = ""
    seed: int = 0
    commit: str = ""
    command: str = ""
    evaluation: dict[str, Any] = field(default_factory=dict)
    tolerance: float = TOLERANCE
    format: int = FORMAT
    sha256: str = ""


@dataclass(frozen=True)
class Checkpoint:
    """A policy that passed all checks: `policy.step(observation, state)` flies it. self_test: observations [steps, in]."""

    policy: SpikingPolicy
    manifest: Manifest
    weights: dict[str, np.ndarray]
    self_test: np.ndarray


def dumps(
    weights: Mapping[str, np.ndarray],
    contract: Contract,
    *,
    recipe: str = "",
    seed: int = 0,
    commit: str = "",
    command: str = "",
    evaluation: Mapping[str, Any] | None = None,
    tolerance: float = TOLERANCE,
    name: str = "checkpoint",
) -> bytes:
    """The bytes of a checkpoint, checked as `loads` will check them. name: what errors call it."""
    weights = {key: np.asarray(value, order="C") for key, value in weights.items()}
    _check_weights(weights, contract, name)
    observation, action = _self_test(SpikingPolicy(weights, contract.neuron))
    tensors = weights | {OBSERVATION: observation, ACTION: action}
    manifest = Manifest(contract, recipe, seed, commit, command, dict(evaluation or {}), tolerance)
    try:
        manifest = dataclasses.replace(manifest, sha256=_digest(tensors, manifest))
        text = _manifest_text(manifest)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{name}: manifest: {error}; wanted finite numbers, text, lists and mappings") from None
    data = safetensors.numpy.save(tensors, metadata={"manifest": text})
    loads(data, name=name)
    return data


def save(path: str | os.PathLike, weights: Mapping[str, np.ndarray], contract: Contract, **manifest: Any) -> bytes:
    """Write a checkpoint so that a kill at any moment leaves the old file or the new one; keywords as for `dumps`.

    Returns the bytes that were written. Raises CheckpointError; then the old file is as it was.
    """
    path = Path(path)
    data = dumps(weights, contract, name=str(path), **manifest)
    replace(path, lambda temporary: atomic_file.write(temporary, data))
    return data


def load(path: str | os.PathLike, *, expect: Mapping[str, Any] | None = None) -> Checkpoint:
    """Read a checkpoint and check everything about it. expect: contract fields and the values that are wanted."""
    return loads(read(path), expect=expect, name=str(path))


def place(path: str | os.PathLike) -> Path:
    """Where a file lies that may be a checkpoint: models/NAME is a shipped one anywhere."""
    if not os.path.exists(path) and os.path.dirname(path) == "models":
        return resources.folder("models") / os.path.basename(path)
    return Path(path)


def read(path: str | os.PathLike) -> bytes:
    """The bytes of a file that may be a checkpoint, see `place`; none of them has been checked."""
    path = place(path)
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
    manifest = _parse_manifest(_metadata(data, name).get("manifest"), name)
    try:
        tensors = safetensors.numpy.load(data)
    except Exception as error:  # whatever the parser finds in hostile bytes, the caller gets one kind of error
        raise CheckpointError(f"{name}: not a readable safetensors file: {error}") from None
    self_test = tuple(tensors.pop(key, None) for key in (OBSERVATION, ACTION))
    _check_weights(tensors, manifest.contract, name)
    _check_self_test_tensors(self_test, manifest.contract.sizes, name)
    found = _digest(tensors | dict(zip((OBSERVATION, ACTION), self_test, strict=True)), manifest)
    if found != manifest.sha256:
        raise CheckpointError(f"{name}: sha256: found {found}, wanted {manifest.sha256}: the file was altered")
    require(manifest.contract, expect or {}, name)
    policy = SpikingPolicy(tensors, manifest.contract.neuron)
    difference = float(np.abs(_actions(policy, self_test[0]) - self_test[1]).max())
    if not difference <= manifest.tolerance:
        raise CheckpointError(f"{name}: self-test: found a difference of {difference:.2g}, wanted {manifest.tolerance:.2g}")
    return Checkpoint(policy, manifest, tensors, self_test[0])


# --- manifest -------------------------------------------------------------------------------------------------------

_CONTRACT_TYPES = {
    "airframe": str,
    "airframe_hash": str,
    "observation": str,
    "action": str,
    "rate_hz": float,
    "sizes": list,
    "neuron": dict,
}
_TYPES = {
    "format": int,
    "contract": dict,
    "recipe": str,
    "seed": int,
    "commit": str,
    "command": str,
    "evaluation": dict,
    "tolerance": float,
    "sha256": str,
}


def _contract_fields(contract: Contract) -> dict[str, Any]:
    fields = {name: getattr(contract, name) for name in _CONTRACT_TYPES}
    return fields | {
        "rate_hz": float(contract.rate_hz),
        "sizes": [int(size) for size in contract.sizes],
        "neuron": _neuron_fields(contract.neuron),
    }


def _neuron_fields(neuron: Neuron) -> dict[str, Any]:
    return {"reset": neuron.reset.value} | ({"recurrent": True} if neuron.recurrent else {})


def _manifest_text(manifest: Manifest) -> str:
    fields = {name: getattr(manifest, name) for name in _TYPES}
    return _canonical(fields | {"contract": _contract_fields(manifest.contract), "tolerance": float(manifest.tolerance)})


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _parse_manifest(text: Any, name: str) -> Manifest:
    if not isinstance(text, str):
        raise CheckpointError(f"{name}: manifest: found nothing, wanted the metadata of a spike_ctrl checkpoint")
    try:
        fields = json.loads(text)
        canonical = _canonical(fields)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name}: manifest: not valid JSON: {error}") from None
    if not isinstance(fields, dict):
        raise CheckpointError(f"{name}: manifest: found {type(fields).__name__}, wanted a mapping")
    if fields.get("format", FORMAT) != FORMAT:
        raise CheckpointError(f"{name}: format: found {fields['format']!r}, wanted {FORMAT}")
    _check_fields(fields, _TYPES, "", name)
    contract = fields.pop("contract")
    _check_fields(contract, _CONTRACT_TYPES, "contract.", name)
    sizes, reset = contract["sizes"], contract["neuron"]
    if len(sizes) < 3 or not all(type(size) is int and 0 < size <= 2**16 for size in sizes):
        raise CheckpointError(f"{name}: contract.sizes: found {sizes}, wanted inputs, hidden widths, outputs")
    if set(reset) - {"recurrent"} != {"reset"}:
        raise CheckpointError(f"{name}: contract.neuron: found fields {sorted(reset)}, wanted ['reset'] or also 'recurrent'")
    if reset.get("recurrent", True) is not True:
        raise CheckpointError(f"{name}: contract.neuron.recurrent: found {reset['recurrent']!r}, wanted true or nothing")
    if not (math.isfinite(contract["rate_hz"]) and contract["rate_hz"] > 0):
        raise CheckpointError(f"{name}: contract.rate_hz: found {contract['rate_hz']}, wanted more than 0")
    if canonical != text:
        raise CheckpointError(f"{name}: manifest: found other text than spike_ctrl writes: the file was altered")
    try:
        neuron = Neuron(**reset)
    except ValueError as error:
        raise CheckpointError(f"{name}: contract.{error}") from None
    return Manifest(Contract(**(contract | {"sizes": tuple(sizes), "neuron": neuron})), **fields)


def _check_fields(found: dict, wanted: Mapping[str, type], prefix: str, name: str) -> None:
    for key, kind in wanted.items():
        if key not in found:
            raise CheckpointError(f"{name}: {prefix}{key}: found nothing, wanted {kind.__name__}")
        if type(found[key]) is not kind:
            raise CheckpointError(f"{name}: {prefix}{key}: found {found[key]!r}, wanted {kind.__name__}")
    for key in found:
        if key not in wanted:
            raise CheckpointError(f"{name}: {prefix}{key}: unknown field, wanted {', '.join(wanted)}")


def require(contract: Contract, expect: Mapping[str, Any], name: str) -> None:
    """Raise CheckpointError for the first of these contract fields with another value. name: what errors call it."""
    found = _contract_fields(contract)
    for key, value in expect.items():
        if key not in found:
            raise CheckpointError(f"{name}: {key}: unknown contract field, wanted {', '.join(found)}")
        if isinstance(value, Neuron):
            value = _neuron_fields(value)
        wanted = list(value) if key == "sizes" else value
        if found[key] != wanted:
            raise CheckpointError(f"{name}: {key}: found {found[key]!r}, wanted {wanted!r}")


# --- tensors --------------------------------------------------------------------------------------------------------


def _metadata(data: bytes, name: str) -> dict[str, str]:
    """The metadata of a safetensors file, from its header only, before anything of its size is allocated."""
    if len(data) < 8:
        raise CheckpointError(f"{name}: size: found {len(data)} bytes, wanted a safetensors file: empty or truncated")
    length = int.from_bytes(data[:8], "little")
    if length > MAX_HEADER_BYTES:
        raise CheckpointError(f"{name}: header: found {length} bytes, wanted at most {MAX_HEADER_BYTES}: not a checkpoint")
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


def _check_weights(weights: Mapping[str, np.ndarray], contract: Contract, name: str) -> None:
    wanted = weight_shapes(contract.sizes, contract.neuron.recurrent)
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


def _check_self_test_tensors(self_test: tuple, sizes: tuple[int, ...], name: str) -> None:
    for key, tensor, width in zip((OBSERVATION, ACTION), self_test, (sizes[0], sizes[-1]), strict=True):
        if tensor is None:
            raise CheckpointError(f"{name}: {key}: found nothing, wanted float32 [steps, {width}]")
        _check_tensor(tensor, (self_test[0].shape[0] if self_test[0].ndim else 0, width), key, name)
        if len(tensor) < 100:
            raise CheckpointError(f"{name}: {key}: found {len(tensor)} steps, wanted at least 100")


def _check_tensor(tensor: np.ndarray, shape: tuple[int, ...], key: str, name: str) -> None:
    if tensor.dtype != np.float32 or tensor.shape != shape:
        raise CheckpointError(f"{name}: {key}: found {tensor.dtype} {tensor.shape}, wanted float32 {shape}")
    if not np.isfinite(tensor).all():
        raise CheckpointError(f"{name}: {key}: found NaN or infinity, wanted finite numbers")


def _digest(tensors: Mapping[str, np.ndarray], manifest: Manifest) -> str:
    return sum_of(tensors, _manifest_text(dataclasses.replace(manifest, sha256="")))


def sum_of(arrays: Mapping[str, np.ndarray], text: str) -> str:
    """sha256 of a text and of names, types, shapes and values of arrays."""
    digest = hashlib.sha256(text.encode())
    for key in sorted(arrays):
        digest.update(f"{key} {arrays[key].dtype} {arrays[key].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[key]).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


# --- self-test ------------------------------------------------------------------------------------------------------


def _self_test(policy: SpikingPolicy) -> tuple[np.ndarray, np.ndarray]:
    """Observations and actions of some seconds of plausible flight.

    Other processors round otherwise, and a membrane that just reaches its threshold would spike there or not. So the
    flight is drawn anew until no membrane comes closer to its threshold than SELF_TEST_MARGIN, or the best is taken.
    """
    best = (-1.0, None)
    for seed in range(32):
        observations = _plausible_observations(np.random.default_rng(seed), policy.sizes[0])
        margin, state = np.inf, policy.initial_state()
        for observation in observations:
            _, state = policy.step(observation, state)
            margin = min(margin, np.abs(state.membrane - policy.theta).min())
        if margin > best[0]:
            best = (margin, observations)
        if margin > SELF_TEST_MARGIN:
            break
    return best[1], _actions(policy, best[1])


def _plausible_observations(rng: np.random.Generator, width: int) -> np.ndarray:
    """Smooth random signals of unit size, [steps, width]; the nine of the attitude around the unit matrix."""
    noise = rng.standard_normal((SELF_TEST_STEPS, width))
    signal = np.empty_like(noise)
    signal[0] = noise[0]
    for step in range(1, SELF_TEST_STEPS):
        signal[step] = 0.95 * signal[step - 1] + 0.3 * noise[step]
    if width == 18:
        signal[:, 3:12] = np.eye(3).ravel() + 0.2 * signal[:, 3:12]
    return signal.astype(np.float32)


def _actions(policy: SpikingPolicy, observations: np.ndarray) -> np.ndarray:
    state, actions = policy.initial_state(), []
    for observation in observations:
        action, state = policy.step(observation, state)
        actions.append(action)
    return np.stack(actions)


def replace(path: Path, write: Callable[[str], None]) -> None:
    """Write a file so that a kill at any moment leaves the old one or the new one. Raises CheckpointError."""
    try:
        atomic_file.replace(path, write)
    except (OSError, SafetensorError) as error:
        text = f"not saved: {atomic_file.reason(error)}; nothing was lost, an older file is as it was"
        raise CheckpointError(f"{path}: {text}") from None
