"""What the bag of a flight holds of adaptation: estimates of the vehicle, policies that were offered, and who commanded."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from spike_ctrl._files.text_table import printable
from spike_ctrl.recordings.bag_messages import Timed

POLICY = 0  # commander, of FlightCommand
ADAPTER = "adapter"  # the node whose diagnostics are its estimates of the vehicle


class NamedAt(NamedTuple):
    """A policy by its name, and when (received, ns) it was offered or began to command; "" for whoever is no policy."""

    received: int
    name: str


class ToldEstimates(NamedTuple):
    """E estimates by the adapter. received (E,): ns. values (E,): by name, NaN where not told."""

    received: np.ndarray
    values: dict[str, np.ndarray]


class AdapterLog(NamedTuple):
    """estimates: of an adapter. offers: the policies that were offered. commanding: who commanded from when on."""

    estimates: ToldEstimates
    offers: tuple[NamedAt, ...] = ()
    commanding: tuple[NamedAt, ...] = ()


def adapter_log(messages: Mapping[str, Timed]) -> AdapterLog:
    """From the messages of a `FlightLog`."""
    offers = tuple(NamedAt(when, printable(message.name)) for when, message in messages["policy/checkpoint"])
    return AdapterLog(_estimates(messages["diagnostics"]), offers, _commanding(messages["command"]))


def _estimates(diagnostics: Timed) -> ToldEstimates:
    told = [
        (when, {pair.key: pair.value for pair in status.values})
        for when, message in diagnostics
        for status in message.status
        if status.name == ADAPTER
    ]
    names = dict.fromkeys(name for _, values in told for name in values)
    columns = {name: np.array([_number(values.get(name, "")) for _, values in told]) for name in names}
    return ToldEstimates(np.array([when for when, _ in told], np.int64), columns)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _commanding(commands: Timed) -> tuple[NamedAt, ...]:
    """The changes of who commands."""
    found: list[NamedAt] = []
    for when, message in commands:
        name = printable(message.checkpoint_id) if message.commander == POLICY else ""
        if not found or found[-1].name != name:
            found.append(NamedAt(when, name))
    return tuple(found)
