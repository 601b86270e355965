"""How the surrogate slope changes the size and direction of gradients, in every layer of random networks.

The networks 18 - 4 x 64 LIF - 4 are initialised at random. Their loss is the error to the guide's actions on its flights. It
is differentiated with slopes k of 1 to 100. The gradient with the steepest slope is called the true one, as in section 5 of
the paper.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch

from spike_ctrl import airframe
from spike_ctrl._files.errors import UsageError
from spike_ctrl.sim.action_mapping import at_hover
from spike_ctrl.snn.network import SpikingNetwork
from spike_ctrl_studies import guide_flights, paper
from spike_ctrl_studies.figures import Figure, Line, Panel
from spike_ctrl_studies.study import (
    AGREES,
    DIFFERS,
    Lines,
    Report,
    StudyFinding,
    StudyOptions,
    Unit,
    UnitContext,
    UnitResult,
    of_kind,
)

SEEDS = (0, 0)
HIDDEN = (64, 64, 64, 64)
SLOPES = (1, 10, 25, 50, 100)
REFERENCE = 100
VEHICLES, STEPS = 32, 100
INITIALISATIONS = {True: 20, False: 100}
PER_UNIT = 10
LAYERS = ("input", "hidden 2", "hidden 3", "hidden 4", "output")
NEAR_COSINE = 0.15  # a cosine counts as equal to the paper's within this difference
NEAR_FACTOR = 3.0  # a ratio of sizes counts as equal to the paper's within this factor


def units(options: StudyOptions) -> list[Unit]:
    """The pieces of this experiment. Raises UsageError."""
    if options.recipe:
        raise UsageError(f"--recipe: found '{options.recipe}', wanted none: its networks are not trained")
    count = INITIALISATIONS[options.quick]
    return [
        Unit(f"initialisations-{first:03d}", {"first": first, "count": PER_UNIT, "airframe": options.airframe})
        for first in range(0, count, PER_UNIT)
    ]


def measure(settings: dict, context: UnitContext) -> UnitResult:
    """Measure the gradients of some initialisations: one line per initialisation, slope and layer."""
    vehicle = airframe.load(settings["airframe"])
    observation, label = (
        torch.from_numpy(array).double() for array in guide_flights.flights(vehicle, VEHICLES, STEPS, seed=1)
    )
    bias = [math.atanh(at_hover(vehicle))] * 4
    lines: Lines = []
    for index in range(settings["count"]):
        seed = settings["first"] + index
        generator = torch.Generator().manual_seed(seed)
        network = SpikingNetwork((18, *HIDDEN, 4), generator=generator, output_bias=bias).double()
        found = {k: layer_gradients(network, observation, label, k) for k in SLOPES}
        rates = spike_rates(network, observation)
        for k in SLOPES:
            for layer, name in enumerate(LAYERS):
                here, reference = found[k][layer], found[REFERENCE][layer]
                figures = {"size": float(here.abs().mean()), "cosine": cosine(here, reference)}
                rate = rates[layer] if layer < len(rates) else None
                lines.append({"kind": "gradient", "seed": seed, "k": k, "layer": name, **figures, "spike_rate": rate})
        context.progress((index + 1) / settings["count"], f"initialisation {seed}")
    return UnitResult(lines)


def layer_gradients(network: SpikingNetwork, observation: torch.Tensor, label: torch.Tensor, k: float) -> list[torch.Tensor]:
    """Gradients of mean |label - action|^2 by the weights of each layer, flat, from the first layer to the readout.

    observation [T, B, in], label [T, B, out], k: slope. The network is unrolled from the zero state.
    """
    action, _, _ = network.unroll(observation, network.initial_state(observation.shape[1]), k)
    loss = (action - label).square().mean()
    weights = [layer.weight for layer in network.layers] + [network.output.weight]
    return [gradient.flatten() for gradient in torch.autograd.grad(loss, weights)]


@torch.no_grad()
def spike_rates(network: SpikingNetwork, observation: torch.Tensor) -> list[float]:
    """Mean spikes per neuron and step of each layer, for observations [T, B, in]."""
    _, _, rates = network.unroll(observation, network.initial_state(observation.shape[1]), REFERENCE)
    return [float(rate) for rate in rates]


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    """Cosine of the angle between two flat gradients, which may be very small. NaN if one of them is zero."""
    scale_a, scale_b = a.abs().max(), b.abs().max()
    if not (scale_a > 0 and scale_b > 0):
        return math.nan
    a, b = a / scale_a, b / scale_b
    return float(a @ b / (a.norm() * b.norm()))


def report(options: StudyOptions, results: dict[str, Lines]) -> Report:
    """The report on the lines of all pieces."""
    lines = [line for found in results.values() for line in of_kind(found, "gradient")]
    count = len({line["seed"] for line in lines})
    table = [_row(lines, layer, k) for layer in LAYERS for k in SLOPES]
    size = {(row["layer"], row["k"]): row["mean |grad|"] for row in table}
    cosines = {(row["layer"], row["k"]): row["cosine"] for row in table}
    rates = {layer: _mean(line["spike_rate"] for line in lines if line["layer"] == layer) for layer in LAYERS[:-1]}
    return Report(
        title=f"Gradients under surrogate slopes, {count} random 18-{'-'.join(map(str, HIDDEN))}-4 networks",
        table=table,
        findings=findings(size, cosines),
        figures=[_against_slope(lines), _against_layer(size, cosines)],
        notes=[
            f"Loss: mean squared error to the guide's actions on {VEHICLES} flights of {STEPS} steps flown by it, unrolled "
            "from the zero state, float64. The paper does not give its loss, so absolute sizes need not agree; ratios can.",
            f"Cosine: with the gradient at k = {REFERENCE}, over all weights of a layer, mean over initialisations.",
            "Spikes per neuron and step: " + ", ".join(f"{layer} {rate:.3f}" for layer, rate in rates.items()) + ".",
            "Thresholds and leaks are drawn from U(0, 1), weights as torch's Linear draws them, as in training.",
        ],
    )


def findings(size: dict, cosines: dict) -> list[StudyFinding]:
    """The paper's claims, checked with sizes and cosines by (layer, k)."""
    first, last = min(SLOPES), max(SLOPES)
    falls = [size["input", k] for k in SLOPES]
    shrinks = all(a > b for a, b in pairwise(falls))
    ours, theirs = size["input", first] / size["input", last], paper.INPUT_GRADIENT[first] / paper.INPUT_GRADIENT[last]
    ratio_near = 1 / NEAR_FACTOR <= ours / theirs <= NEAR_FACTOR
    found = [
        StudyFinding(
            "Shallow slopes carry larger gradients to the input layer than steep ones.",
            "mean |grad| " + ", ".join(f"{value:.2g} (k = {k})" for k, value in zip(SLOPES, falls, strict=True)) + ".",
            AGREES if shrinks else DIFFERS,
        ),
        StudyFinding(
            f"At the input layer the gradient with k = {first} is {theirs:.2g} times that with k = {last}.",
            f"{ours:.3g} times.",
            AGREES if ratio_near else DIFFERS,
        ),
    ]
    for k in SLOPES[:-1]:
        ours, theirs = cosines["input", k], paper.INPUT_COSINE[k]
        found.append(
            StudyFinding(
                f"At the input layer the cosine with the true gradient is {theirs} for k = {k}.",
                f"{ours:.2f}.",
                AGREES if abs(ours - theirs) <= NEAR_COSINE else DIFFERS,
            )
        )
    steady = [size["output", k] / size["output", REFERENCE] for k in SLOPES]
    off = max(abs(ratio - 1) for ratio in steady)
    turned = 1 - min(cosines["output", k] for k in SLOPES)
    found.append(
        StudyFinding(
            "The output layer's gradient does not depend on the slope.",
            f"size within {off:.1g}, cosine within {turned:.1g} of those at k = {REFERENCE}.",
            AGREES if off < 1e-6 and turned < 1e-6 else DIFFERS,
        )
    )
    return found


def _row(lines: Lines, layer: str, k: int) -> dict:
    here = [line for line in lines if line["layer"] == layer and line["k"] == k]
    sizes = np.array([line["size"] for line in here])
    cosines = [line["cosine"] for line in here]
    is_input, is_output = layer == LAYERS[0], layer == LAYERS[-1]
    return {
        "layer": layer,
        "k": k,
        "mean |grad|": float(sizes.mean()),
        "10 %": float(np.percentile(sizes, 10)),
        "90 %": float(np.percentile(sizes, 90)),
        "cosine": _mean(cosines),
        "paper |grad|": paper.INPUT_GRADIENT[k] if is_input else paper.OUTPUT_GRADIENT if is_output else None,
        "paper cosine": paper.INPUT_COSINE[k] if is_input else paper.OUTPUT_COSINE if is_output else None,
    }


def _mean(values) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else math.nan


def _against_slope(lines: Lines) -> Figure:
    def band(name: str) -> tuple[list[float], list[float], list[float]]:
        columns = [
            np.array(
                [line[name] for line in lines if line["layer"] == "input" and line["k"] == k and line[name] is not None]
            )
            for k in SLOPES
        ]
        low, high = (([float(np.percentile(column, at)) for column in columns]) for at in (10, 90))
        return [float(column.mean()) for column in columns], low, high

    panels = []
    for name, theirs, label in (
        ("size", paper.INPUT_GRADIENT, "mean |gradient|"),
        ("cosine", paper.INPUT_COSINE, f"cosine with k = {REFERENCE}"),
    ):
        mean, low, high = band(name)
        marks = [
            Line("here, mean and 10-90 %", SLOPES, mean, low, high, marks=True),
            Line("paper", list(theirs), list(theirs.values()), paper=True),
        ]
        panels.append(Panel(f"Input layer: {label}", "slope k", label, marks, log_x=True, log_y=name == "size"))
    return Figure("input_layer", "The input layer's gradient against the slope", panels)


def _against_layer(size: dict, cosines: dict) -> Figure:
    def lines(values: dict) -> Sequence[Line]:
        at = range(len(LAYERS))
        return [
            Line(f"k = {k}", list(at), [values[layer, k] for layer in LAYERS], colour=i, marks=True)
            for i, k in enumerate(SLOPES)
        ]

    def ends(inputs: dict, output: float) -> Sequence[Line]:
        at = [0, len(LAYERS) - 1]
        drawn = [(i, k) for i, k in enumerate(SLOPES) if k in (SLOPES[0], REFERENCE)]
        return [Line(f"paper, k = {k}", at, [inputs[k], output], paper=True, joined=False, colour=i) for i, k in drawn]

    return Figure(
        "layers",
        "Gradients from output to input",
        [
            Panel(
                "Size",
                "",
                "mean |gradient|",
                [*lines(size), *ends(paper.INPUT_GRADIENT, paper.OUTPUT_GRADIENT)],
                LAYERS,
                log_y=True,
            ),
            Panel(
                "Direction",
                "",
                f"cosine with k = {REFERENCE}",
                [*lines(cosines), *ends(paper.INPUT_COSINE, paper.OUTPUT_COSINE)],
                LAYERS,
            ),
        ],
    )
