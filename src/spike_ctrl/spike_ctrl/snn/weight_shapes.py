"""Names and shapes of the arrays that a spiking network consists of. Free of torch, as the runtimes are."""

from collections.abc import Mapping, Sequence

import numpy as np


def fan_in(sizes: Sequence[int], recurrent: bool = False) -> tuple[int, ...]:
    """Number of inputs of each hidden layer; the last layer of a recurrent network also receives its own spikes."""
    return (*sizes[:-3], sizes[-3] + (sizes[-2] if recurrent else 0))


def weight_shapes(sizes: Sequence[int], recurrent: bool = False) -> dict[str, tuple[int, ...]]:
    """Name and shape of each array that a network of these sizes (inputs, hidden widths, outputs) consists of."""
    shapes: dict[str, tuple[int, ...]] = {}
    for index, shape in enumerate(zip(sizes[1:-1], fan_in(sizes, recurrent), strict=True)):
        shapes[f"layer{index}.weight"] = shape
        for name in ("bias", "beta", "theta"):
            shapes[f"layer{index}.{name}"] = shape[:1]
    return shapes | {"output.weight": (sizes[-1], sizes[-2]), "output.bias": (sizes[-1],)}


def network_sizes(weights: Mapping[str, np.ndarray], recurrent: bool = False) -> tuple[int, ...]:
    """Inputs, hidden widths and outputs of the network that these weights are."""
    layers = [weights[f"layer{index}.weight"].shape for index in range(sum(name.endswith(".theta") for name in weights))]
    inputs = layers[0][1] - layers[0][0] if recurrent and len(layers) == 1 else layers[0][1]
    return (inputs, *(width for width, _ in layers), weights["output.weight"].shape[0])
