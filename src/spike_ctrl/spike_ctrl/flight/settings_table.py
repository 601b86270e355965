"""All settings of a flight in one table: for the reference page, and as the JSON that a bag holds. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

from spike_ctrl.flight.flight_settings import FlightSettings

TOPIC = "supervisor/settings"


class Setting(NamedTuple):
    """A number with its bounds. group: the dataclass that holds it, such as `cage`; empty for FlightSettings itself."""

    group: str
    name: str
    value: float
    unit: str
    low: float
    high: float
    about: str

    @property
    def path(self) -> str:
        """Its name from FlightSettings on."""
        return f"{self.group}.{self.name}" if self.group else self.name


def table(settings: Any, group: str = "") -> Iterator[Setting]:
    """All numbers of a flight, group by group."""
    for one in fields(settings):
        value, about = getattr(settings, one.name), one.metadata
        if is_dataclass(value):
            yield from table(value, f"{group}.{one.name}" if group else one.name)
        elif "low" in about:
            yield Setting(group, one.name, value, about.get("unit", ""), about["low"], about["high"], about["description"])


def as_json(settings: FlightSettings, paced: bool = False) -> str:
    """The settings that a flight was flown with: each number by its path, and what else the user chooses.

    paced: the vehicle waited for commands, so that times by the recorder's clock say nothing of the flight.
    """
    chosen = {"layout": settings.layout, "turn.fastest": settings.turn.fastest} | {
        f"cage.{name}": getattr(settings.cage, name) for name in ("low", "high", "relative")
    }
    chosen |= {"paced": True} if paced else {}
    return json.dumps(chosen | {one.path: one.value for one in table(settings)})


def parsed(found: Sequence[tuple[int, Any]]) -> dict[str, Any]:
    """The settings in a bag, of its first supervisor, from messages with times. What is no JSON of ours says nothing."""
    try:
        settings = json.loads(found[0][1].data)
    except (IndexError, ValueError):
        return {}
    return settings if isinstance(settings, dict) else {}
