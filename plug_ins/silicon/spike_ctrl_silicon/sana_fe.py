"""Energy and time of a policy on Loihi by SANA-FE, from the spikes of a flight (Boyle et al. 2025, `pip install sanafe`).

SANA-FE's model of Loihi has the energies and latencies of Davies et al. 2018. It simulates messages between cores event by
event. The spikes are those of the flight, replayed, so the figures are those of the mapping and not of Loihi's rounding.

Mapping: the input lines on a core of their own, which stands for the host, and a core for each hidden layer, all on
neighbouring cores. A control step takes a time step of the chip per hidden layer; layer l gets its inputs in time step l.
Each neuron is read and updated in each time step. Synapses are dense. The readout is not on the chip.
"""

import itertools
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.control.trajectory import Trajectory
from spike_ctrl.evaluation.controllers import PolicyController
from spike_ctrl.evaluation.tracking import track
from spike_ctrl.policy.policy_protocol import Policy
from spike_ctrl_silicon.loihi_network import COMPARTMENTS, bits_of

SYNAPSE, DENDRITE, INPUT, REPLAYED = "loihi_dense_synapse", "loihi_dendrites", "loihi_inputs", "replayed"
ACCESS, UPDATE, SPIKE = (51.2e-12, 6.0e-9), (21.6e-12, 3.7e-9), (69.3e-12, 30.0e-9)  # J and s, of Davies et al. 2018


class FlownSpikes(NamedTuple):
    """Of one vehicle in S steps: observations [S, in], spikes [S, N]."""

    observation: NDArray[np.float32]
    spike: NDArray[np.bool_]


class ChipCost(NamedTuple):
    """Per control step: energy (J) and its parts by name, time (s), spikes sent, on and to the chip."""

    energy: float
    parts: dict[str, float]
    time: float
    spikes: float

    @property
    def words(self) -> str:
        """The cost for the user."""
        parts = ", ".join(f"{name} {1e9 * value:.1f}" for name, value in self.parts.items())
        return (
            f"{1e9 * self.energy:.1f} nJ per control step ({parts}), {1e6 * self.time:.2f} us, {self.spikes:.0f} spikes; "
            f"at 100 Hz {1e5 * self.energy:.4f} mW of dynamic power"
        )


class _Recorder:
    """A policy that keeps what the first vehicle sees and how its neurons spike."""

    def __init__(self, policy: Any) -> None:
        self._policy = policy
        self.seen: list[NDArray[np.float32]] = []
        self.spike: list[NDArray[np.bool_]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)

    def step(self, observation: NDArray[np.float32], state: Any) -> tuple[NDArray[np.float32], Any]:
        action, after = self._policy.step(observation, state)
        self.seen.append(observation[0].copy())
        self.spike.append(after.spike[:, 0] > 0)
        return action, after


def flown(policy: Policy, craft: Airframe, kind: str, seconds: float) -> FlownSpikes:
    """The spikes of a policy that follows a trajectory of this kind, such as "hover" or "figure8"."""
    recorder, path = _Recorder(policy), Trajectory(kind)
    track(PolicyController(recorder), path, craft, rounds=max(1, round((seconds - path.lead) / path.period)))
    return FlownSpikes(np.stack(recorder.seen).astype(np.float32), np.stack(recorder.spike))


def cost(spikes: FlownSpikes, hidden: tuple[int, ...], recurrent: bool) -> ChipCost:
    """The chip's cost of these spikes. hidden: widths of the layers. Raises UsageError, also where SANA-FE is missing."""
    try:
        import sanafe
    except ImportError:
        raise UsageError("SANA-FE: found none, wanted it: pip install sanafe") from None
    lines = bits_of(spikes.observation).T > 0
    if max(lines.shape[1] + 1, *hidden) > COMPARTMENTS:
        raise UsageError(f"layers: found {hidden}, wanted at most {COMPARTMENTS} neurons on a core")
    steps = len(hidden)
    trains = [_train(np.c_[lines, np.ones(len(lines), bool)], 0, steps)]
    start = 0
    for index, width in enumerate(hidden):
        trains.append(_train(spikes.spike[:, start : start + width], index, steps))
        start += width
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "loihi.yaml"
        place.write_text(_architecture(Path(sanafe.__file__).parent / "examples" / "loihi.yaml"))
        chip = sanafe.load_arch(str(place))
        network = sanafe.Network()
        groups = [_group(network, f"layer{n}", train, INPUT if n == 0 else REPLAYED) for n, train in enumerate(trains)]
        for before, after in itertools.pairwise(groups):
            _connect(before, after)
        if recurrent:
            _connect(groups[-1], groups[-1])
        for group, core in zip(groups, chip.cores(), strict=False):
            for neuron in group:
                neuron.map_to_core(core)
        simulated = sanafe.SpikingChip(chip)
        simulated.load(network)
        ran = simulated.sim(len(trains[0]), timing_model="detailed")
    sent = sum(int(train.sum()) for train in trains)
    if ran["neurons_fired"] != sent:
        raise UsageError(f"SANA-FE: found {ran['neurons_fired']} spikes, wanted the {sent} of the flight")
    count = len(spikes.spike)
    parts = {name: float(value) / count for name, value in ran["energy"].items() if name != "total"}
    return ChipCost(float(ran["energy"]["total"]) / count, parts, float(ran["sim_time"]) / count, sent / count)


def _train(spike: NDArray[np.bool_], at: int, steps: int) -> NDArray[np.bool_]:
    """Spikes per time step [steps S, N], of a layer whose spikes come in time step `at` of each control step."""
    found = np.zeros((len(spike), steps, spike.shape[1]), bool)
    found[:, at] = spike
    return found.reshape(-1, spike.shape[1])


def _architecture(shipped: Path) -> str:
    """SANA-FE's Loihi, with neurons that spike when they are told and cost what a neuron that is updated costs."""
    chip = yaml.safe_load(shipped.read_text())
    told = {
        "model": "input",
        "energy_access_neuron": ACCESS[0] + UPDATE[0],
        "latency_access_neuron": ACCESS[1] + UPDATE[1],
        "energy_update_neuron": 0.0,
        "latency_update_neuron": 0.0,
        "energy_spike_out": SPIKE[0],
        "latency_spike_out": SPIKE[1],
    }
    for tile in chip["architecture"]["tile"]:
        for core in tile["core"]:
            core["soma"].append({"name": f"{REPLAYED}[0..{COMPARTMENTS - 1}]", "attributes": told})
    return str(yaml.safe_dump(chip, sort_keys=False))


def _group(network: Any, name: str, train: NDArray[np.bool_], soma: str) -> Any:
    group = network.create_neuron_group(
        name, train.shape[1], {}, default_synapse_hw_name=SYNAPSE, default_dendrite_hw_name=DENDRITE
    )
    for index, neuron in enumerate(group):
        neuron.set_attributes(soma_hw_name=f"{soma}[{index}]", model_attributes={"spikes": train[:, index].tolist()})
    return group


def _connect(before: Any, after: Any) -> None:
    """Dense synapses of weight 0: they cost what others do, and the neurons spike as they are told."""
    before.connect_neurons_dense(after, {"weight": [0.0] * (len(before) * len(after))})
