"""The section of a report on a model: what it is, how it flies, what its neurons do, and what one step costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from spike_ctrl import airframe
from spike_ctrl.control.geometric_guide import GeometricGuide
from spike_ctrl.evaluation.benchmark import EPISODE_STEPS, evaluate
from spike_ctrl.evaluation.controllers import PolicyController, require_set_point
from spike_ctrl.evaluation.energy import Cost, CountingSpikes, arithmetic_energy_pj, spiking_energy_pj
from spike_ctrl.evaluation.evaluation_result import BOXES, COLUMNS, HEADS, Evaluation
from spike_ctrl.policy import checkpoint
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl.policy.numpy_runtime import SpikingPolicy
from spike_ctrl.policy.voltage_input import complete_of
from spike_ctrl.report.colours import COLOURS
from spike_ctrl.report.flight_charts import ChartedFlight, Neurons, charts, hover_verdict, lines, styled
from spike_ctrl.report.page import Chart, FigureTile, Part, Section, Table, Tiles, Verdict, added
from spike_ctrl.sim.environment import RATE_HZ, Environment, Task

FLIGHTS, SEED = 4, 7
NO_SPIKES = "no spikes"


@dataclass(frozen=True)
class FlownModel:
    """A model with its frozen evaluation, the cost of one step (None where nothing spikes), and some flights."""

    path: Path
    loaded: Checkpoint
    evaluation: Evaluation
    cost: Cost | None
    flights: list[ChartedFlight]

    @property
    def name(self) -> str:
        """The name of its file; for a run's policy also that of the run."""
        return self.path.stem if self.path.stem != "policy" else f"{self.path.parent.name}/policy"


def fly_model(path: Path) -> FlownModel:
    """Evaluate the model at `path`, and fly it from FLIGHTS other starts. Raises CheckpointError, UsageError."""
    loaded = checkpoint.load(path)
    vehicle = loaded.airframe()
    require_set_point(loaded, str(path))
    counting = CountingSpikes(loaded.policy) if isinstance(loaded.policy, SpikingPolicy) else None
    evaluation = evaluate(counting or PolicyController(loaded.policy), vehicle)
    cost = counting.cost(loaded.weights) if counting else None
    return FlownModel(path, loaded, evaluation, cost, _flights(loaded, vehicle))


def section(found: FlownModel) -> Section:
    """The section on a model."""
    figures = (("mean return", "return_mean"), ("its deviation", "return_std"), ("survival", "survival"))
    rows = [(label, *(found.evaluation.columns[column][name] for column in COLUMNS)) for label, name in figures]
    parts: list[Part] = [_tiles(found), Table(("", ""), _about(found)), Table(("frozen evaluation", *HEADS), rows)]
    parts.append(Table(("one step", ""), _costs(found)))
    notes: list[str] = []
    parts += added("model_tables", notes, found)
    return Section(f"Model {found.name}", [*parts, *charts(found.flights)], notes)


def _tiles(found: FlownModel) -> Tiles:
    evaluation, error = found.evaluation, hover_verdict(found.flights)
    survival = evaluation.columns["1.5m_start"]["survival"]  # 0: nothing hovered
    tiles = [
        FigureTile("return, 1.5 m start", f"{evaluation.headline:.1f}"),
        FigureTile("survival", f"{survival:.3f}"),
        FigureTile("hover error", f"{100 * evaluation.hover_error_m['median']:.1f} cm" if survival else "none"),
        FigureTile("change of u per step", f"{evaluation.action_change:.3f}" if survival else "none"),
        FigureTile("position error", error.text.partition(":")[0], error.good),
    ]
    if found.cost is None:
        return Tiles([*tiles, FigureTile("spike rates", NO_SPIKES)])
    rates = ", ".join(f"{1 - share:.2f}" for share in found.cost.layer_sparsity)
    energy = f"{_energy_nj(found, found.cost):.0f} nJ"
    return Tiles([*tiles, FigureTile("spike rates", rates), FigureTile("energy of a step", energy)])


def side_by_side(models: Sequence[FlownModel]) -> Section:
    """Several models in one table and one chart."""
    rows = [
        (
            m.name, m.evaluation.headline, m.evaluation.score, m.evaluation.columns["1.5m_start"]["survival"],
            100 * m.evaluation.hover_error_m["median"], m.evaluation.action_change,
            Verdict((error := hover_verdict(m.flights)).text.partition(":")[0], error.good),
            _weights(m),
            *((NO_SPIKES, NO_SPIKES) if m.cost is None else (_energy_nj(m, m.cost), _arithmetic(m.cost))),
        )
        for m in models
    ]  # fmt: skip
    head = (
        "model", "return 1.5m start", "mean of columns", "survival", "hover error (cm)", "change of u per step",
        "position error", "parameters", "energy, spiking hardware (nJ)", "energy, arithmetic (nJ)",
    )  # fmt: skip
    bars, errors = go.Figure(), []
    bars.update_yaxes(title_text="mean return")
    for number, m in enumerate(models):
        returns = [m.evaluation.columns[column]["return_mean"] for column in COLUMNS]
        bars.add_trace(go.Bar(x=HEADS, y=returns, name=m.name, marker={"color": COLOURS[number % len(COLOURS)]}))
        stacked = np.stack([flight.error for flight in m.flights])
        alive = np.isfinite(stacked).sum(0)
        mean = np.divide(np.nansum(stacked, axis=0), alive, out=np.full(len(alive), np.nan), where=alive > 0)
        errors.append((m.name, mean))
    drawn = lines(models[0].flights[0].seconds, errors, "distance (m)", rangemode="tozero").update_traces(line_width=2)
    return Section(
        "Side by side",
        [
            Table(head, rows),
            Chart("Return", styled(bars), f"Frozen evaluation, {models[0].evaluation.starts} starts."),
            Chart("Position error", drawn, f"Mean of {FLIGHTS} flights that have not crashed."),
        ],
    )


def _flights(loaded: Checkpoint, vehicle: airframe.Airframe) -> list[ChartedFlight]:
    environment = Environment(vehicle, FLIGHTS, Task(box=max(BOXES.values()), episode_steps=EPISODE_STEPS))
    policy, guide = loaded.policy, GeometricGuide(vehicle)
    spiking = policy if isinstance(policy, SpikingPolicy) else None
    observation, _ = environment.reset(seed=SEED)
    state, guide_state = policy.initial_state(FLIGHTS), guide.initial_state(FLIGHTS)
    flying = np.ones(FLIGHTS, bool)
    rows: dict[str, list[np.ndarray]] = {name: [] for name in ("observation", "action", "guide", "spikes", "membrane")}
    for _ in range(EPISODE_STEPS):
        by_guide, guide_state = guide.act(observation, guide_state, environment.rotor_speed, environment.disturbance)
        action, state = policy.step(complete_of(policy, observation, environment), state)
        for name, value in (("observation", observation), ("action", action), ("guide", by_guide)):
            rows[name].append(np.where(flying[:, None], value, np.nan))
        if flying[0] and spiking:
            rows["spikes"].append(state.spike[:, 0])
            rows["membrane"].append(state.membrane[:, 0])
        observation, _, terminated, _, _ = environment.step(action)
        flying &= ~terminated
    observation, actions, guided, spikes, membrane = map(np.array, rows.values())
    seconds = np.arange(EPISODE_STEPS) / RATE_HZ
    neurons = Neurons(spikes, membrane, spiking.theta, spiking.sizes[1:-1]) if spiking else None
    return [
        ChartedFlight(
            f"start {n + 1}", seconds, observation[:, n], actions[:, n], vehicle.action_layout, guided[:, n],
            None if n else neurons,
        )
        for n in range(FLIGHTS)
    ]  # fmt: skip


def _about(found: FlownModel) -> list[tuple[str, object]]:
    manifest = found.loaded.manifest
    contract = manifest.contract
    return [
        ("file", str(found.path)),
        ("airframe", f"{contract.airframe} ({contract.airframe_hash})"),
        ("network", contract.words),
        ("parameters", str(_weights(found))),
        ("recipe, seed", f"{manifest.recipe or '?'}, {manifest.seed}"),
        ("command", manifest.command or "?"),
        ("commit", manifest.commit or "?"),
        *((f"hover error, {name} (m)", error) for name, error in found.evaluation.hover_error_m.items()),
        ("position error", hover_verdict(found.flights)),
    ]


def _costs(found: FlownModel) -> list[tuple[str, object]]:
    if (cost := found.cost) is None:
        about = [("ONNX graph (bytes)", len(found.loaded.graph)), ("energy", NO_SPIKES)]
        return [("multiply-accumulates (MAC) at most, of the weights", _weights(found)), *about]
    return [
        ("multiply-accumulates (MAC)", cost.macs),
        ("accumulates (AC)", cost.acs),
        ("both, if nothing were 0", cost.dense),
        ("sparsity of the layers", ", ".join(f"{share:.3f}" for share in cost.layer_sparsity)),
        ("footprint (bytes)", cost.footprint),
        ("energy, spiking hardware, by the paper's formula (nJ)", _energy_nj(found, cost)),
        ("energy, arithmetic at 45 nm (nJ)", _arithmetic(cost)),
    ]  # fmt: skip


def _weights(found: FlownModel) -> int:
    return sum(weight.size for weight in found.loaded.weights.values())


def _energy_nj(found: FlownModel, cost: Cost) -> float:
    contract = found.loaded.manifest.contract
    recurrent = contract.neuron is not None and contract.neuron.recurrent
    return spiking_energy_pj(contract.sizes, cost.layer_sparsity, recurrent) / 1e3


def _arithmetic(cost: Cost) -> float:
    return arithmetic_energy_pj(cost.macs, cost.acs) / 1e3
