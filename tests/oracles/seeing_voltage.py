"""Checkpoints that see the battery's voltage, made of shipped ones that do not."""

import numpy as np

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl.policy import checkpoint, voltage_input
from spike_ctrl.policy.manifest import Contract


def seeing(name: str = "crazyflie_real", weight: float = 0.0, neuron=None) -> bytes:
    """A shipped policy of crazyflie_real whose first layer also takes the voltage, with this weight in each neuron."""
    found = checkpoint.load(resources.folder("models") / f"{name}.safetensors")
    craft, old = airframe.load("crazyflie_real"), found.manifest.contract
    weights = dict(found.weights)
    first = weights["layer0.weight"]
    weights["layer0.weight"] = np.concatenate([first, np.full((len(first), 1), weight, np.float32)], axis=1)
    contract = Contract(
        craft.name, craft.hash, voltage_input.LAYOUT, old.action, old.rate_hz, (19, *old.sizes[1:]), neuron or old.neuron,
        voltage=voltage_input.of_airframe(craft),
    )  # fmt: skip
    return checkpoint.dumps(weights, contract)
