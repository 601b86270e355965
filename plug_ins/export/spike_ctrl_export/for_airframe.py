"""A checkpoint for a certain airframe, of a policy that was trained on many and is told nothing of the one that it flies.

The weights stay; the contract names the airframe. Whatever flies it then checks that as it does for every other policy.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl.sim.airframe_sampler import AirframeRanges
from spike_ctrl_export.airframe_figures import require_within


def require_drawable(found: Checkpoint, craft: Airframe, carrier: Airframe, ranges: AirframeRanges) -> None:
    """Raise UsageError where `craft` could not have been drawn in the training, or has its rotors in other places.

    carrier, ranges: what the policy was trained on.
    """
    contract = found.manifest.contract
    if contract.airframe_hash != carrier.hash:
        raise UsageError(f"airframe {carrier.name}: found {carrier.hash}, wanted {contract.airframe_hash} of the checkpoint")
    for name in ("rotor_x", "rotor_y", "rotor_spin"):
        signs = [np.sign(getattr(airframe, name)).astype(int).tolist() for airframe in (craft, carrier)]
        if signs[0] != signs[1]:
            raise UsageError(f"airframe {craft.name}: {name}: found signs {signs[0]}, wanted {signs[1]}")
    craft.require_layout(contract.action)
    if contract.action == "rates" and craft.max_rates != carrier.max_rates:
        found_rates, wanted = (" ".join(map("{:g}".format, one.max_rates)) for one in (craft, carrier))
        raise UsageError(
            f"airframe {craft.name}: max_rates: found {found_rates} rad/s, wanted {wanted}, as {carrier.name} has"
        )
    require_within(craft, ranges)


def write(path: Path, found: Checkpoint, craft: Airframe, about: Mapping[str, Any]) -> None:
    """Write the checkpoint for `craft`; it says that the policy learns its plant, where the network hears itself.

    about: `command` and `evaluation` of its manifest. Raises CheckpointError."""
    origin = {name: getattr(found.manifest, name) for name in ("recipe", "seed", "commit", "tolerance")}
    contract = dataclasses.replace(found.manifest.contract, airframe=craft.name, airframe_hash=craft.hash)
    learns = contract.neuron is not None and contract.neuron.recurrent
    checkpoint.save(
        path, found.weights, contract, graph=found.graph or None, learns_plant=learns, **origin, **about
    )  # fmt: skip
