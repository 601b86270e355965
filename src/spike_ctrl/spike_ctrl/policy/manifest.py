"""What a checkpoint says of its policy, as JSON: the contract, where the policy comes from, and how well it flew."""

import dataclasses
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from spike_ctrl import plug_ins
from spike_ctrl._files import settings
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import setting, within
from spike_ctrl.policy import voltage_input
from spike_ctrl.policy.voltage_input import VoltageInput
from spike_ctrl.snn.neuron import PAPER, Neuron

FORMAT, GRAPH_FORMAT = 1, 2
TOLERANCE = 1e-4
_NAME = re.compile(r"[^/\\\x00-\x1f\x7f-\x9f]{1,200}")
VOLTAGE_INPUTS = 19  # of the layout that ends with the voltage
MOST_TOLERANCE = 1e-2  # of an action: a file that allows itself more proves nothing


class CheckpointError(UsageError):
    """A file that cannot be trusted or written. One line: file, field, what was found, what is wanted."""


def _neuron(found: Any, source: str, key: str) -> Neuron:
    if not isinstance(found, dict) or set(found) - {"recurrent"} != {"reset"}:
        shown = f"fields {sorted(found)}" if isinstance(found, dict) else repr(found)
        raise CheckpointError(f"{source}: {key}: found {shown}, wanted ['reset'] or also 'recurrent'")
    if found.get("recurrent", True) is not True:
        raise CheckpointError(f"{source}: {key}.recurrent: found {found['recurrent']!r}, wanted true or nothing")
    try:
        return Neuron(**found)
    except ValueError as error:
        raise CheckpointError(f"{source}: {key.removesuffix('neuron')}{error}") from None


@dataclass(frozen=True)
class Contract:
    """What must agree before a policy may command a vehicle.

    The policy of a network of another kind than ours is its graph: then neuron is None, sizes are inputs and outputs alone,
    and network says which module it was, such as "examples.gru:GRU". That text is for people; nothing is imported by it.
    """

    airframe: str = setting(description="Name of the vehicle that it was trained for.")
    airframe_hash: str = setting(description="The hash of that vehicle.")
    observation: str = setting(description="Layout of the observation, such as setpoint_frame_18.")
    action: str = setting(description="Layout of the action, motors or rates.")
    rate_hz: float = setting(description="Control steps per second.", low=sys.float_info.min, wanted="more than 0")
    sizes: tuple[int, ...] = setting(
        description="Of its layers.", low=1, high=2**16, length=(2, None), wanted="inputs, hidden widths, outputs"
    )
    neuron: Neuron | None = setting(PAPER, "The kind of its neurons.", read=_neuron)
    network: str = setting("", "The module that a graph was.")
    voltage: VoltageInput | None = setting(None, "How the last input tells the battery's voltage.")
    lost_rotor: bool = setting(False, "Whether it flies on when a rotor is lost.")

    @property
    def sight(self) -> Any:
        """The plug-in that makes its observations of a state and a course; None: they are of a layout of ours."""
        known = self.observation in plug_ins.entries("observations")
        return plug_ins.load("observations", self.observation, "observation") if known else None

    @property
    def words(self) -> str:
        """The network in words: its widths and its neurons, or the module that it was."""
        widths = " - ".join(map(str, self.sizes))
        return f"{widths}, {self.neuron.words}" if self.neuron is not None else f"{widths}, {self.network or 'a graph'}"


@dataclass(frozen=True)
class Manifest:
    """The contract, where the policy comes from, how well it flew, and how far the self-test may be off.

    adaptation: of a policy that was tuned in flight: `parent`, the sha256 of the file that it was tuned from, `ancestor`,
    that of the first in the line, and the estimate of the vehicle that it was tuned for.
    """

    contract: Contract = setting(read=lambda found, source, key: found)
    recipe: str = setting("", "Name of the recipe.")
    seed: int = setting(0, "Seed of the training.")
    commit: str = setting("", "Commit of the sources.")
    command: str = setting("", "Command that trained it.")
    evaluation: dict[str, Any] = setting(dict, "How well it flew.")
    tolerance: float = within(TOLERANCE, 0.0, MOST_TOLERANCE, "Largest difference of an action in the self-test.")
    format: int = setting(FORMAT, "1: a spiking network, 2: a graph.", choices=(FORMAT, GRAPH_FORMAT))
    sha256: str = setting("", "Of all arrays (names, shapes, types, values) and the rest of the manifest.")
    adaptation: dict[str, Any] = setting(dict, "How it was tuned in flight.")
    learns_plant: bool = setting(False, "Whether a recurrent network identifies its vehicle in flight.")

    @property
    def parent(self) -> str:
        """sha256 of the file that this policy was tuned from in flight; empty where it was not."""
        return str(self.adaptation.get("parent", ""))

    @property
    def ancestor(self) -> str:
        """sha256 of the file that the first parent in the line came in; empty where this policy was not tuned in flight."""
        return str(self.adaptation.get("ancestor", ""))


_NOT_OF = {FORMAT: "network", GRAPH_FORMAT: "neuron"}
"""What a contract does not say, by the format of the file."""
_NEW = ("adaptation", "learns_plant")
"""Left out of a file where they say nothing, so that it is as before."""


def text_of(manifest: Manifest) -> str:
    """A manifest as the one JSON text that stands for it. Raises TypeError, ValueError where that cannot be."""
    found = {known.name: getattr(manifest, known.name) for known in fields(manifest)}
    found = {name: value for name, value in found.items() if value or name not in _NEW}
    contract = _contract_fields(manifest.contract)
    del contract[_NOT_OF[manifest.format]]
    for name in ("voltage", "lost_rotor"):
        if not contract[name]:
            del contract[name]
    return canonical(found | {"contract": contract, "tolerance": float(manifest.tolerance)})


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def parse(text: Any, name: str) -> Manifest:
    """The manifest that `text_of` gave as this text. name: what errors call the file. Raises CheckpointError."""
    if not isinstance(text, str):
        raise CheckpointError(f"{name}: manifest: found nothing, wanted the metadata of a spike_ctrl checkpoint")
    try:
        found = json.loads(text)
        written = canonical(found)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name}: manifest: not valid JSON: {error}") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{name}: manifest: found {type(found).__name__}, wanted a mapping")
    number = found.get("format", FORMAT)
    if type(number) is not int or number not in _NOT_OF:
        raise CheckpointError(f"{name}: format: found {number!r}, wanted {' or '.join(map(str, _NOT_OF))}")
    needed = [known.name for known in fields(Manifest) if known.name not in _NEW]
    try:
        settings.require_keys(found, (*needed, *_NEW), name, needed=needed)
        contract = settings.convert(
            Contract, found["contract"], name, "contract.", without=(_NOT_OF[number],), needed=_NOT_OF.values()
        )
        manifest = settings.convert(Manifest, found | {"contract": contract}, name)
    except UsageError as error:
        raise CheckpointError(str(error)) from None
    sizes = list(contract.sizes)
    if len(sizes) < 3 if number == FORMAT else len(sizes) != 2:
        wanted = "inputs, hidden widths, outputs" if number == FORMAT else "inputs, outputs"
        raise CheckpointError(f"{name}: contract.sizes: found {sizes}, wanted {wanted}")
    if contract.airframe.endswith((".yaml", ".yml")) or not _NAME.fullmatch(contract.airframe):
        raise CheckpointError(f"{name}: contract.airframe: found {contract.airframe!r}, wanted a name and no path")
    if (contract.voltage is not None) != (contract.observation == voltage_input.LAYOUT):
        told = f"found {contract.voltage} with observation {contract.observation!r}"
        raise CheckpointError(f"{name}: contract.voltage: {told}, wanted it with {voltage_input.LAYOUT!r} alone")
    if contract.voltage is not None and sizes[0] != VOLTAGE_INPUTS:
        raise CheckpointError(f"{name}: contract.sizes: found {sizes}, wanted {VOLTAGE_INPUTS} inputs first")
    neuron = contract.neuron if number == FORMAT else None
    if manifest.learns_plant and not (neuron and neuron.recurrent):
        raise CheckpointError(f"{name}: learns_plant: found true, wanted it with a recurrent spiking network alone")
    if written != text:
        raise CheckpointError(f"{name}: manifest: found other text than spike_ctrl writes: the file was altered")
    return dataclasses.replace(manifest, contract=dataclasses.replace(contract, neuron=neuron))


def require(contract: Contract, expect: Mapping[str, Any], name: str) -> None:
    """Raise CheckpointError for the first of these contract fields with another value. name: what errors call the file."""
    found = _contract_fields(contract)
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
    return {known.name: getattr(contract, known.name) for known in fields(contract)} | {
        "rate_hz": float(contract.rate_hz),
        "sizes": [int(size) for size in contract.sizes],
        "neuron": None if contract.neuron is None else _neuron_fields(contract.neuron),
        "voltage": None if contract.voltage is None else dataclasses.asdict(contract.voltage),
    }


def _neuron_fields(neuron: Neuron) -> dict[str, Any]:
    return {"reset": neuron.reset.value} | ({"recurrent": True} if neuron.recurrent else {})
