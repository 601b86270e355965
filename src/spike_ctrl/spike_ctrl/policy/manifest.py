"""What a checkpoint says of its policy, as JSON: the contract, where the policy comes from, and how well it flew."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spike_ctrl.policy import voltage_input
from spike_ctrl.policy.voltage_input import VoltageInput
from spike_ctrl.snn.neuron import PAPER, Neuron

FORMAT, GRAPH_FORMAT = 1, 2
TOLERANCE = 1e-4
_NAME = re.compile(r"[^/\\\x00-\x1f\x7f-\x9f]{1,200}")
VOLTAGE_INPUTS = 19  # of the layout that ends with the voltage
MOST_TOLERANCE = 1e-2  # of an action: a file that allows itself more proves nothing


class CheckpointError(Exception):
    """A file that cannot be trusted or written. One line: file, field, what was found, what is wanted."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.split()))


@dataclass(frozen=True)
class Contract:
    """What must agree before a policy may command a vehicle.

    airframe and airframe_hash: the vehicle it was trained for. observation and action: the layouts, such as
    "setpoint_frame_18" and "motors" or "rates". rate_hz: control steps per second. sizes: inputs, hidden widths, outputs.
    voltage: how the last input tells the battery's, where the layout of the observation says that it does.

    The policy of a network of another kind than ours is its graph: then neuron is None, sizes are inputs and outputs alone,
    and network says which module it was, such as "examples.gru:GRU". That text is for people; nothing is imported by it.
    """

    airframe: str
    airframe_hash: str
    observation: str
    action: str
    rate_hz: float
    sizes: tuple[int, ...]
    neuron: Neuron | None = PAPER
    network: str = ""
    voltage: VoltageInput | None = None

    @property
    def words(self) -> str:
        """The network in words: its widths and its neurons, or the module that it was."""
        widths = " - ".join(map(str, self.sizes))
        return f"{widths}, {self.neuron.words}" if self.neuron is not None else f"{widths}, {self.network or 'a graph'}"


@dataclass(frozen=True)
class Manifest:
    """The contract, where the policy comes from, how well it flew, and how far the self-test may be off.

    format: 1 for a spiking network, 2 for a graph. sha256 covers names, shapes, types and values of all arrays and the rest
    of the manifest. adaptation: of a policy that was tuned in flight: `parent`, the sha256 of the file that it was tuned
    from, `ancestor`, that of the first in the line, and the estimate of the vehicle that it was tuned for. learns_plant: it
    is told nothing of its vehicle, and learns it from what its own commands do; only a network that hears itself can.
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
    adaptation: dict[str, Any] = field(default_factory=dict)
    learns_plant: bool = False

    @property
    def parent(self) -> str:
        """sha256 of the file that this policy was tuned from in flight; empty where it was not."""
        return str(self.adaptation.get("parent", ""))

    @property
    def ancestor(self) -> str:
        """sha256 of the file that the first parent in the line came in; empty where this policy was not tuned in flight."""
        return str(self.adaptation.get("ancestor", ""))


_CONTRACT_TYPES: dict[str, type] = {
    "airframe": str,
    "airframe_hash": str,
    "observation": str,
    "action": str,
    "rate_hz": float,
    "sizes": list,
}
_OPTIONAL: dict[str, type] = {"voltage": dict}
# What else a contract says, by the format of the file.
_NETWORK_TYPES: dict[int, dict[str, type]] = {FORMAT: {"neuron": dict}, GRAPH_FORMAT: {"network": str}}
_TYPES: dict[str, type] = {
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


def text_of(manifest: Manifest) -> str:
    """A manifest as the one JSON text that stands for it. Raises TypeError, ValueError where that cannot be."""
    fields = {name: getattr(manifest, name) for name in _TYPES}
    if manifest.adaptation:  # files of policies that were not tuned in flight are as before
        fields["adaptation"] = manifest.adaptation
    if manifest.learns_plant:
        fields["learns_plant"] = True
    found, network = _contract_fields(manifest.contract), _NETWORK_TYPES[manifest.format]
    contract = {name: found[name] for name in (*_CONTRACT_TYPES, *network, *_OPTIONAL.keys() & found.keys())}
    return canonical(fields | {"contract": contract, "tolerance": float(manifest.tolerance)})


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def parse(text: Any, name: str) -> Manifest:
    """The manifest that `text_of` gave as this text. name: what errors call the file. Raises CheckpointError."""
    if not isinstance(text, str):
        raise CheckpointError(f"{name}: manifest: found nothing, wanted the metadata of a spike_ctrl checkpoint")
    try:
        fields = json.loads(text)
        written = canonical(fields)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name}: manifest: not valid JSON: {error}") from None
    if not isinstance(fields, dict):
        raise CheckpointError(f"{name}: manifest: found {type(fields).__name__}, wanted a mapping")
    number = fields.get("format", FORMAT)
    if type(number) is not int or number not in _NETWORK_TYPES:
        raise CheckpointError(f"{name}: format: found {number!r}, wanted {' or '.join(map(str, _NETWORK_TYPES))}")
    more = {key: kind for key, kind in (("adaptation", dict), ("learns_plant", bool)) if key in fields}
    _check_fields(fields, _TYPES | more, "", name)
    contract = fields.pop("contract")
    also = {key: kind for key, kind in _OPTIONAL.items() if key in contract}
    _check_fields(contract, _CONTRACT_TYPES | _NETWORK_TYPES[number] | also, "contract.", name)
    sizes = contract["sizes"]
    good, wanted = (
        (len(sizes) >= 3, "inputs, hidden widths, outputs") if number == FORMAT else (len(sizes) == 2, "inputs, outputs")
    )
    if not good or not all(type(size) is int and 0 < size <= 2**16 for size in sizes):
        raise CheckpointError(f"{name}: contract.sizes: found {sizes}, wanted {wanted}")
    if not (math.isfinite(contract["rate_hz"]) and contract["rate_hz"] > 0):
        raise CheckpointError(f"{name}: contract.rate_hz: found {contract['rate_hz']}, wanted more than 0")
    if not 0 <= fields["tolerance"] <= MOST_TOLERANCE:
        raise CheckpointError(f"{name}: tolerance: found {fields['tolerance']}, wanted 0 to {MOST_TOLERANCE}")
    if contract["airframe"].endswith((".yaml", ".yml")) or not _NAME.fullmatch(contract["airframe"]):
        raise CheckpointError(f"{name}: contract.airframe: found {contract['airframe']!r}, wanted a name and no path")
    neuron = _neuron(contract["neuron"], name) if number == FORMAT else None
    voltage = _voltage(contract, name)
    if fields.get("learns_plant") and not (neuron and neuron.recurrent):
        raise CheckpointError(f"{name}: learns_plant: found true, wanted it with a recurrent spiking network alone")
    if written != text:
        raise CheckpointError(f"{name}: manifest: found other text than spike_ctrl writes: the file was altered")
    return Manifest(Contract(**(contract | {"sizes": tuple(sizes), "neuron": neuron, "voltage": voltage})), **fields)


def require(contract: Contract, expect: Mapping[str, Any], name: str) -> None:
    """Raise CheckpointError for the first of these contract fields with another value. name: what errors call the file."""
    found = dict.fromkeys(_OPTIONAL) | _contract_fields(contract)
    for key, value in expect.items():
        if key not in found:
            raise CheckpointError(f"{name}: {key}: unknown contract field, wanted {', '.join(found)}")
        if isinstance(value, Neuron):
            value = _neuron_fields(value)
        if isinstance(value, VoltageInput):
            value = dataclasses.asdict(value)
        wanted = list(value) if key == "sizes" else value
        if found[key] != wanted:
            raise CheckpointError(f"{name}: {key}: found {found[key]!r}, wanted {wanted!r}")


def _contract_fields(contract: Contract) -> dict[str, Any]:
    told = {} if contract.voltage is None else {"voltage": dataclasses.asdict(contract.voltage)}
    return (
        told
        | {name: getattr(contract, name) for name in _CONTRACT_TYPES}
        | {
            "rate_hz": float(contract.rate_hz),
            "sizes": [int(size) for size in contract.sizes],
            "neuron": None if contract.neuron is None else _neuron_fields(contract.neuron),
            "network": contract.network,
        }
    )


def _neuron_fields(neuron: Neuron) -> dict[str, Any]:
    return {"reset": neuron.reset.value} | ({"recurrent": True} if neuron.recurrent else {})


def _voltage(contract: dict[str, Any], name: str) -> VoltageInput | None:
    """How a contract tells the voltage, which it must with the layout that ends with it, and with no other."""
    found = contract.get("voltage")
    if (found is not None) != (contract["observation"] == voltage_input.LAYOUT):
        told = f"found {found} with observation {contract['observation']!r}"
        raise CheckpointError(f"{name}: contract.voltage: {told}, wanted it with {voltage_input.LAYOUT!r} alone")
    if found is None:
        return None
    _check_fields(found, {"middle": float, "span": float}, "contract.voltage.", name)
    if not (math.isfinite(found["middle"]) and 0 < found["span"] < math.inf):
        raise CheckpointError(f"{name}: contract.voltage: found {found}, wanted finite volts and a span above 0")
    if contract["sizes"][0] != VOLTAGE_INPUTS:
        raise CheckpointError(f"{name}: contract.sizes: found {contract['sizes']}, wanted {VOLTAGE_INPUTS} inputs first")
    return VoltageInput(**found)


def _neuron(found: dict[str, Any], name: str) -> Neuron:
    if set(found) - {"recurrent"} != {"reset"}:
        raise CheckpointError(f"{name}: contract.neuron: found fields {sorted(found)}, wanted ['reset'] or also 'recurrent'")
    if found.get("recurrent", True) is not True:
        raise CheckpointError(f"{name}: contract.neuron.recurrent: found {found['recurrent']!r}, wanted true or nothing")
    try:
        return Neuron(**found)
    except ValueError as error:
        raise CheckpointError(f"{name}: contract.{error}") from None


def _check_fields(found: dict[str, Any], wanted: Mapping[str, type], prefix: str, name: str) -> None:
    for key, kind in wanted.items():
        if key not in found:
            raise CheckpointError(f"{name}: {prefix}{key}: found nothing, wanted {kind.__name__}")
        if type(found[key]) is not kind:
            raise CheckpointError(f"{name}: {prefix}{key}: found {found[key]!r}, wanted {kind.__name__}")
    for key in found:
        if key not in wanted:
            raise CheckpointError(f"{name}: {prefix}{key}: unknown field, wanted {', '.join(wanted)}")
