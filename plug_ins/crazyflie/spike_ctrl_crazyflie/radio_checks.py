"""What bars a flight of a Crazyflie over the radio: battery, positioning, firmware, app. Pure.

`params` and `logs` are the firmware's tables of contents, group by group, as cflib downloads them on connecting.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from spike_ctrl._files.ranges import within

Table = Mapping[str, Collection[str]]

# Parameters deck.NAME of those decks that tell an absolute position or hold one, and what they are.
POSITIONING = {
    "bcLighthouse4": "Lighthouse", "bcDWM1000": "Loco", "bcLoco": "Loco", "bcFlow": "Flow", "bcFlow2": "Flow v2",
    "bcActiveM": "Active marker",
}  # fmt: skip
APP_PARAMS, APP_LOGS = ("enable", "weights"), ("phase", "fault", "stepUs", "mostUs", "missed", "spikes")
NEEDED = {"stabilizer": ("controller", "estimator"), "kalman": ("resetEstimation",)}
OUT_OF_TREE, KALMAN = 6, 2  # values of stabilizer.controller and stabilizer.estimator


@dataclass(frozen=True)
class RadioLimits:
    """Limits of a flight; those of the policy itself are in the app."""

    voltage: float = within(3.8, 3.0, 4.2)  # V, least before the take-off
    voltage_in_flight: float = within(3.1, 2.8, 4.0)  # V, below which for `sagging` it lands
    sagging: float = within(1.0, 0.1, 10.0)  # s
    variance: float = within(0.001, 1e-6, 1.0)  # m^2, largest spread of the estimator's variance over a second
    silence: float = within(0.5, 0.1, 5.0)  # s without a log of the app, after which it lands


def missing(params: Table, logs: Table) -> list[str]:
    """What the firmware lacks, in words. Without it nothing is set or logged."""
    found = [
        f"firmware: parameter {group}.{name}: found none"
        for group, names in NEEDED.items()
        for name in names
        if name not in params.get(group, ())
    ]
    if "snn" not in params:
        wanted = "wanted the app of spike-ctrl export --to crazyflie; build and flash it as its README says"
        return [*found, f"app: found no parameter group snn, {wanted}"]
    absent = [f"snn.{name}" for name in APP_PARAMS if name not in params["snn"]]
    absent += [f"snn.{name}" for name in APP_LOGS if name not in logs.get("snn", ())]
    if absent:
        found.append(
            f"app: found none of {', '.join(absent)}, wanted the app of this version: export, build and flash it again"
        )
    return found


def unmet(voltage: float, decks: Collection[str], weights: int, wanted_weights: int, limits: RadioLimits) -> list[str]:
    """The conditions of a take-off that do not hold. voltage: V. decks: names of POSITIONING that are mounted.

    weights: the first 32 bits of the sha256 of the weights that are flashed, and of those of the model.
    """
    found = []
    if not voltage >= limits.voltage:
        found.append(f"battery: found {voltage:.2f} V, wanted at least {limits.voltage:g} V: charge it")
    if not decks:
        known = ", ".join(dict.fromkeys(POSITIONING.values()))
        found.append(f"positioning deck: found none, wanted one of {known}: the policy flies by an absolute position")
    if weights != wanted_weights:
        found.append(f"app: weights: found {weights:08x}, wanted {wanted_weights:08x} of the model: flash this model's app")
    return found
