"""The energy of one control step of the shipped policies and of an ordinary network, beside the paper's figures."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from spike_ctrl import airframe
from spike_ctrl._files import resources
from spike_ctrl._files.errors import UsageError
from spike_ctrl.control.geometric_guide import Gains
from spike_ctrl.evaluation.benchmark import evaluate
from spike_ctrl.evaluation.energy import (
    AC_PJ,
    MAC_PJ,
    SPIKE_PJ,
    SYNAPSE_PJ,
    UPDATE_PJ,
    Cost,
    CountingSpikes,
    arithmetic_energy_pj,
    spiking_energy_pj,
    step_cost,
    synaptic_operations,
)
from spike_ctrl.evaluation.evaluation_result import Evaluation
from spike_ctrl.policy import checkpoint
from spike_ctrl.sim.environment import Environment
from spike_ctrl_studies import paper, training_run
from spike_ctrl_studies.dense_baseline import DensePolicy, imitate
from spike_ctrl_studies.figures import Bars, Figure, Panel
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
    one,
)
from spike_ctrl_studies.study_folder import safe

SEEDS = (0, 0)
GUIDE_RECIPE = "td3bc"  # the guide of this recipe teaches the ANN
ANN_HIDDEN, HISTORY = (64, 64), 32
ANN_STEPS = {True: 500_000, False: 3_000_000}
NEAR = 0.1  # a cost counts as equal to the paper's if it differs by at most this share


class CountingDense(DensePolicy):
    """The ordinary network as a controller that counts how often each input and each neuron is not 0."""

    def begin(self, vehicles: int) -> None:
        """Start flights of so many vehicles, with the counts at 0."""
        super().begin(vehicles)
        self.steps, self.active = 0, [np.zeros(size) for size in self.sizes[:-1]]

    def act(self, observation: np.ndarray, environment: Environment) -> np.ndarray:
        """Actions (N, 4) for observations (N, 18), which are counted."""
        *signals, action = self.layers(observation)
        for count, signal in zip(self.active, signals, strict=True):
            count += (signal != 0).sum(0)
        self.steps += len(observation)
        self.remember(action.astype(np.float32))
        return action.astype(np.float32)

    def cost(self) -> Cost:
        """The cost of one step, from the counts so far."""
        active = [count / self.steps for count in self.active]
        macs = sum(synaptic_operations(weight, rate) for (weight, _), rate in zip(self.weights, active, strict=True))
        footprint = sum(weight.nbytes + bias.nbytes for weight, bias in self.weights)
        dense = sum(weight.size for weight, _ in self.weights)
        return step_cost(dense, macs, 0.0, active[1:], footprint + 4 * 4 * self.history)


def _spiking_nj(line: dict, cost: Cost) -> float:
    return spiking_energy_pj(line["sizes"], cost.layer_sparsity, line.get("recurrent", False)) / 1e3


def units(options: StudyOptions) -> list[Unit]:
    """The pieces of this experiment. Raises UsageError."""
    vehicle = airframe.load(options.airframe)
    found = []
    for path in sorted(resources.folder("models").glob("*.safetensors")):
        loaded = checkpoint.load(path)
        if loaded.manifest.contract.airframe_hash == vehicle.hash:
            settings = {"kind": "spiking", "model": path.name, "sha256": loaded.manifest.sha256}
            found.append(Unit(safe(f"model {path.stem}"), settings | {"airframe": options.airframe}, weight=0.3))
    if not found:
        raise UsageError(f"models: found none for airframe {vehicle.name}, wanted at least one")
    gains = dataclasses.asdict(training_run.find_recipe(options.recipe or GUIDE_RECIPE).guide)
    for history in (0, HISTORY):
        settings = {"kind": "dense", "history": history, "steps": ANN_STEPS[options.quick], "guide": gains, "seed": 0}
        found.append(Unit(f"ann-history-{history}", settings | {"hidden": list(ANN_HIDDEN), "airframe": options.airframe}))
    return found


def measure(settings: dict, context: UnitContext) -> UnitResult:
    """The cost of one step of a shipped policy, or of an ANN that is trained first, and its frozen evaluation."""
    vehicle = airframe.load(settings["airframe"])
    if settings["kind"] == "spiking":
        loaded = checkpoint.load(resources.find("models", settings["model"]))
        flown = CountingSpikes(loaded.policy)
        evaluation = evaluate(flown, vehicle)
        cost, sizes, recurrent = flown.cost(loaded.weights), loaded.policy.sizes, loaded.policy.neuron.recurrent
        name = f"SNN {_hidden(sizes)} ({settings['model'].removesuffix('.safetensors')})"
    else:
        history, hidden = settings["history"], tuple(settings["hidden"])
        gains = Gains(**settings["guide"])
        policy = imitate(vehicle, hidden, history, settings["steps"], settings["seed"], gains, context.progress)
        flown = CountingDense(policy.weights, history)
        evaluation = evaluate(flown, vehicle)
        cost, sizes, recurrent = flown.cost(), policy.sizes, False
        name = f"ANN {_hidden(sizes)}, {f'{history} actions' if history else 'no history'}"
    line = {"kind": "result", "name": name, "network": settings["kind"], "sizes": list(sizes), "recurrent": recurrent}
    return UnitResult([line | {"cost": cost._asdict(), "evaluation": evaluation.to_dict()}])


def _hidden(sizes: Sequence[int]) -> str:
    return "-".join(map(str, sizes[1:-1]))


def report(options: StudyOptions, results: dict[str, Lines]) -> Report:
    """The report on the lines of all pieces."""
    found = [one(lines, "result") for lines in results.values()]
    table = [_row(line) for line in found]
    return Report(
        title=f"Cost of one control step on {options.airframe}",
        table=[*table, *(_paper_row(name, table[0]) for name in paper.ENERGY)],
        findings=findings(found, table),
        figures=[_operations(table), _energies(table)],
        notes=[
            "MACs, ACs, dense, sparsity and footprint by NeuroBench's definitions, on the 1024 flights of the frozen "
            "evaluation; biases and the neurons' own updates are not counted. Footprint: float32 parameters and state.",
            f"'spiking hardware': the paper's formula, Ps {SPIKE_PJ}, Pw {SYNAPSE_PJ}, Pu {UPDATE_PJ} pJ. "
            "It reads every weight at every step, whether its input spikes or not. Defined for spiking networks only.",
            f"'arithmetic': {MAC_PJ} pJ per MAC and {AC_PJ} pJ per AC (32-bit floating point, 45 nm, Horowitz 2014), and "
            "nothing else: no memory, no neuron updates. Both are estimates, not measurements.",
            f"The ANNs imitate the guide, which labels each state that they visit ({ANN_STEPS[options.quick]:,} of them).",
        ],
    )


def findings(found: Lines, table: Sequence[dict]) -> list[StudyFinding]:
    """Compares our policy of the paper's size with the paper's costs, and says what sparsity and history contribute."""
    result = []
    same = [(line, row) for line, row in zip(found, table, strict=True) if row["network"].startswith("SNN 256-128")]
    theirs = paper.ENERGY["SNN 256-128"]
    for line, row in same[:1]:
        for key, column, unit in (
            ("sparsity", "sparsity", ""),
            ("acs", "ACs", " ACs"),
            ("energy_nj", "spiking hardware nJ", " nJ"),
        ):
            close = abs(row[column] - theirs[key]) <= NEAR * theirs[key]
            claim = f"SNN 256-128: {key.split('_')[0].replace('acs', 'operations')} {theirs[key]:g}{unit} per step."
            result.append(StudyFinding(claim, f"{row[column]:.4g} ({row['network']}).", AGREES if close else DIFFERS))
        sizes, recurrent = line["sizes"], line.get("recurrent", False)
        silent, busy = (spiking_energy_pj(sizes, sparsity, recurrent) for sparsity in (1.0, 0.0))
        result.append(
            StudyFinding(
                "By the paper's formula it is sparsity that decides the energy (taken as: a factor of 2).",
                f"a network that never spikes costs {silent / 1e3:.1f} nJ and one in which all "
                f"neurons spike at every step {busy / 1e3:.1f} nJ.",
                AGREES if busy > 2 * silent else DIFFERS,
                paper=False,
            )
        )
    dense = {line["name"]: Evaluation.from_dict(line["evaluation"]) for line in found if line["network"] == "dense"}
    if len(dense) == 2:
        (without, plain), (with_history, remembered) = dense.items()
        gain = remembered.headline - plain.headline
        result.append(
            StudyFinding(
                "The ANN flies better with an action history (paper: hover error .10 m against .25 m in real flight).",
                f"{with_history}: {remembered.headline:.0f}, {100 * remembered.hover_error_m['median']:.1f} cm; "
                f"{without}: {plain.headline:.0f}, {100 * plain.hover_error_m['median']:.1f} cm.",
                AGREES if gain > 0 and remembered.hover_error_m["median"] < plain.hover_error_m["median"] else DIFFERS,
            )
        )
    ours, ann = [row for row in table if row["network"].startswith("SNN")], [r for r in table if "actions" in r["network"]]
    if ours and ann:
        result.append(
            StudyFinding(
                "The SNN needs less energy per step than the ANN with history (arithmetic alone).",
                ", ".join(f"{row['arithmetic nJ']:.1f} nJ ({row['network']})" for row in (ours[0], ann[0])) + ".",
                AGREES if ours[0]["arithmetic nJ"] < ann[0]["arithmetic nJ"] else DIFFERS,
                paper=False,
            )
        )
    return result


def _row(line: dict) -> dict:
    cost = Cost(**line["cost"])
    evaluation = Evaluation.from_dict(line["evaluation"])
    spiking = line["network"] == "spiking"
    return {
        "network": line["name"],
        "MACs": cost.macs,
        "ACs": cost.acs,
        "dense": cost.dense,
        "sparsity": cost.sparsity,
        "footprint kB": cost.footprint / 1e3,
        "spiking hardware nJ": _spiking_nj(line, cost) if spiking else None,
        "arithmetic nJ": arithmetic_energy_pj(cost.macs, cost.acs) / 1e3,
    } | ({"1.5 m start": evaluation.headline} | training_run.fields(evaluation))


def _paper_row(name: str, like: dict) -> dict:
    theirs = paper.ENERGY[name]
    return {key: None for key in like} | {
        "network": f"paper: {name}",
        "MACs": theirs["macs"],
        "ACs": theirs["acs"],
        "dense": theirs["dense"],
        "sparsity": theirs.get("sparsity"),
        "footprint kB": theirs["footprint_kb"],
        "spiking hardware nJ": theirs.get("energy_nj"),
        "arithmetic nJ": arithmetic_energy_pj(theirs["macs"], theirs["acs"]) / 1e3,
    }


def _operations(table: Sequence[dict]) -> Figure:
    rows = [*table, *(_paper_row(name, table[0]) for name in paper.ENERGY)]
    marks = [
        Bars("MACs", [row["MACs"] / 1e3 for row in rows], colour=1),
        Bars("ACs", [row["ACs"] / 1e3 for row in rows], colour=0),
        Bars("dense", [row["dense"] / 1e3 for row in rows], colour=7),
    ]
    return Figure(
        "operations",
        "Synaptic operations per control step",
        [Panel("", "", "thousands", marks, [row["network"] for row in rows], format=".1f")],
    )


def _energies(table: Sequence[dict]) -> Figure:
    rows = [*table, *(_paper_row(name, table[0]) for name in paper.ENERGY)]
    names = [row["network"] for row in rows]
    panels = []
    for column, title in (
        ("arithmetic nJ", "Arithmetic alone, 45 nm"),
        ("spiking hardware nJ", "The paper's formula, spiking hardware"),
    ):
        kept = [(name, row[column]) for name, row in zip(names, rows, strict=True) if row[column] is not None]
        chosen = [name for name, _ in kept]
        ours = [np.nan if name.startswith("paper") else value for name, value in kept]
        theirs = [value if name.startswith("paper") else np.nan for name, value in kept]
        marks = [Bars("here", ours, colour=2), Bars("paper", theirs, paper=True)]
        panels.append(Panel(title, "", "nJ per step", marks, chosen, format=".0f", stacked=True))
    return Figure("energy", "Energy per control step, estimated", panels)
