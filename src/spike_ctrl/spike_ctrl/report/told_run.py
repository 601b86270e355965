"""What the folder of a training run tells: its metrics, settings, origin and evaluation. It may be unfinished or old."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from spike_ctrl._files import json_lines, yaml_file
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.json_lines import BrokenLine
from spike_ctrl.policy import checkpoint

LARGEST = 2**63


@dataclass(frozen=True)
class ToldRun:
    """metrics: its lines, without what is not known. about: run.json. recipe: as it ran; empty where it is not told."""

    path: Path
    metrics: list[dict[str, float]]
    about: Mapping[str, object]
    recipe: Mapping[str, object]

    @property
    def name(self) -> str:
        return self.path.name

    def best(self, name: str) -> float:
        """The largest value of a metric; NaN: there is none."""
        return max((line[name] for line in self.metrics if name in line), default=math.nan)

    @cached_property
    def origin(self) -> dict[str, str]:
        """Recipe, network, command and commit, as the policy of the run tells them; without one, as the recipe does."""
        file = self.path / "policy.safetensors"
        if not file.is_file():
            network = self.recipe.get("network")
            hidden = network.get("hidden") if isinstance(network, Mapping) else None
            told = {"recipe": self.recipe.get("name"), "network": hidden and " - ".join(map(str, hidden))}
            return {name: str(value) for name, value in told.items() if value}
        manifest = checkpoint.load(file).manifest
        told = {"recipe": manifest.recipe, "network": manifest.contract.words, "command": manifest.command}
        return {name: str(value or "?") for name, value in (told | {"commit": manifest.commit}).items()}


def read(path: Path) -> ToldRun:
    """The run in a folder. Raises UsageError if its metrics or its recipe cannot be read."""
    file = path / "recipe.yaml"
    recipe = yaml_file.read(file, "recipe") if file.is_file() else {}
    return ToldRun(path, metrics(path), read_json(path / "run.json"), recipe if isinstance(recipe, dict) else {})


def inside(folder: Path) -> list[Path]:
    """The runs in a folder and in the folders of it, by name; what lies in a run, such as its teacher, is none."""
    found = []
    for child in sorted(path for path in folder.iterdir() if path.is_dir()):
        below = [child] if (child / "metrics.jsonl").is_file() else child.glob("*")
        found += sorted(run for run in below if (run / "metrics.jsonl").is_file())
    return found


def steps(line: Mapping[str, float]) -> float:
    """Vehicle-steps that were flown, and those that recorded flight stood in for."""
    return line.get("environment_steps", 0) + line.get("offline_steps", 0)


def metrics(path: Path) -> list[dict[str, float]]:
    """The lines of a run's metrics.jsonl. A last line that a kill has cut off is left out. Raises UsageError."""
    file = path / "metrics.jsonl"
    try:
        found, _ = json_lines.read(file, _numbers, "metrics")
    except BrokenLine as error:
        told = f"found '{error.text[:40]}', wanted a JSON mapping to numbers"
        raise UsageError(f"{file}, line {error.number}: {told}") from None
    if not found:
        raise UsageError(f"{file}: found no line, wanted metrics")
    return found


def _numbers(line: object) -> dict[str, float]:
    """A line of metrics without what is not known (null, not finite). Raises ValueError for anything but such numbers."""
    if not isinstance(line, dict):
        raise ValueError
    known = {name: value for name, value in line.items() if value is not None}
    if not all(isinstance(value, float) or (isinstance(value, int) and abs(value) < LARGEST) for value in known.values()):
        raise ValueError
    return {name: value for name, value in known.items() if math.isfinite(value)}


def read_json(file: Path) -> dict[str, Any]:
    """The mapping in a JSON file; {} where there is none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
