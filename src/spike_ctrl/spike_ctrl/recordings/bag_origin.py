"""Where the flight in a bag comes from, if it was imported: source, sha256, airframe, and what was wrong with its log."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from spike_ctrl.recordings import BagError

TOPIC, KIND = "origin", "std_msgs/msg/String"


def parse(text: str, path: Path) -> dict[str, Any]:
    """The origin from the text of its message. Raises BagError."""
    try:
        found: dict[str, Any] = yaml.safe_load(text)
        return found | {"source": str(found["source"]), "sha256": str(found["sha256"])}
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise BagError(f"{path}: {TOPIC}: found {error}, wanted what `spike-ctrl import` writes") from None


def require_separate(flights: Sequence[tuple[str, str]]) -> None:
    """Raises BagError where two flights, each a name and its log's sha256, are the same bytes: no separate evidence."""
    seen: dict[str, str] = {}
    for name, sha256 in flights:
        if sha256 in seen:
            found = f"{name}: found the same bytes as {seen[sha256]}"
            raise BagError(f"{found}, wanted another flight: a copy is no separate evidence")
        seen[sha256] = name


def require_separate_origins(origins: Sequence[tuple[Path, dict[str, Any] | None]]) -> None:
    """Raises BagError where two bags, by path and origin, were imported from the same bytes."""
    require_separate([(str(path), origin["sha256"]) for path, origin in origins if origin is not None])
