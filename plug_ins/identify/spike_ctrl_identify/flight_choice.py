"""Which flights a fit takes, and whether its airframe is of use: what is no good is named before, or refused after."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from spike_ctrl.airframe import Airframe
from spike_ctrl.sim.environment import RATE_HZ
from spike_ctrl_identify import IdentifyError, fidelity
from spike_ctrl_identify.fit import Identification
from spike_ctrl_identify.flight_physics import contradictions, told
from spike_ctrl_identify.flight_windows import Windows
from spike_ctrl_identify.log_defects import runs
from spike_ctrl_identify.logged_flight import Declared, Series
from spike_ctrl_identify.observed_flight import AHEAD, HISTORY, LOW, ObservedFlight

JUDGED = fidelity.HORIZONS.index(10)  # .1 s ahead


def unfit(flight: ObservedFlight) -> str:
    """Why nothing can begin in a flight, in words; empty for a flight that a fit can use."""
    if len(flight.starts()):
        return ""
    highest, seconds = float(np.nanmax(flight.state[:, 2])), flight.good.sum() / RATE_HZ
    if highest <= LOW:
        return f"it never takes off: {highest:.2f} m at most, wanted more than {LOW:g}"
    wanted = f"wanted {(HISTORY + AHEAD) / RATE_HZ:g} s of it without a gap"
    return f"found {seconds:.1f} s in the air above {LOW:g} m with motors and state known, {wanted}"


def usable(flight: ObservedFlight, note: Callable[[str], None]) -> bool:
    """Whether a fit can use the flight; what is odd about it, or why it is left out, goes to `note`."""
    why = unfit(flight)
    for words in (*flight.notes, *([f"left out: {why}"] if why else ())):
        note(f"{flight.name}: {words}")
    return not why


def require_physics(path: Any, flight: ObservedFlight, origin: Mapping[str, Any] | None) -> None:
    """Raises IdentifyError where state and motors contradict each other, by file and columns where the origin tells them."""
    time = np.arange(len(flight.good)) / RATE_HZ
    longest = max(runs(flight.good, time), key=lambda run: run[2], default=(0, 0, 0.0))
    rows = slice(*longest[:2])
    parts = {"position": slice(0, 3), "quaternion": slice(3, 7), "velocity": slice(7, 10), "rates": slice(10, 13)}
    series = {name: Series(time[rows], flight.state[rows, part]) for name, part in parts.items()}
    series["motors"] = Series(time[rows], flight.command[rows])
    columns = (origin or {}).get("columns", {})
    declared = {name: Declared(tuple(names), "", {}) for name, names in columns.items()}
    source = f"{path}, from {origin['source']}" if origin else f"{path}"
    for found in contradictions(series):
        raise IdentifyError(f"{source}: {told(found, declared)}")


def require_use(craft: Airframe, flights: Sequence[ObservedFlight]) -> None:
    """Raises IdentifyError for an airframe that predicts flights no better than who knows nothing of it.

    Of each kind of error .1 s ahead the lesser of holding the state and of constant velocity and rates is its measure.
    """
    used = [flight for flight in flights if len(flight.starts())]
    mine, naive = fidelity.judge(craft.name, craft, used).mean, [way.mean for way in fidelity.simple(used)]
    shares = mine[JUDGED] / np.maximum(np.min(naive, axis=0)[JUDGED], 1e-9)
    _require_less(fidelity.HORIZONS[JUDGED] / RATE_HZ, dict(zip(fidelity.GROUPS, shares.tolist(), strict=True)))


def require_use_of_windows(found: Identification, windows: Windows) -> None:
    """The same of a fit to windows, whose errors are without their means."""
    seen = windows.state[windows.warm + 1 :, :, 7:13]
    naive = seen - seen.mean(axis=0)
    rms = [float(np.sqrt((naive[..., part] ** 2).mean())) for part in (slice(0, 3), slice(3, 6))]
    shares = {name: error / max(one, 1e-9) for name, error, one in zip(("velocity", "rates"), found.error, rms, strict=True)}
    _require_less(found.steps / RATE_HZ, shares)


def _require_less(seconds: float, shares: Mapping[str, float]) -> None:
    mean = float(np.mean(list(shares.values())))
    if not mean < 1:
        each = ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
        raise IdentifyError(
            f"found an airframe that predicts {seconds:g} s with {mean:.2f} times the error of holding the state, or of "
            f"constant velocity and rates ({each}), wanted less than 1: the logs do not fit the airframe, or a column has "
            "a wrong unit, sign or order"
        )
