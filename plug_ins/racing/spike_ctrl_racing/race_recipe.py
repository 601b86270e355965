"""Recipes for races: which network, which courses, and the stages of its training, each of which goes on from the last."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spike_ctrl._files import settings, yaml_file
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import setting
from spike_ctrl_racing import track
from spike_ctrl_racing.race_training import RaceTraining
from spike_ctrl_racing.track import Track
from spike_ctrl_racing.track_sampler import TrackRanges

RECIPES = Path(__file__).with_name("recipes")
MOST = 20  # stages


def _stages(found: object, source: str, key: str) -> tuple[RaceTraining, ...]:
    if not isinstance(found, list) or not 0 < len(found) <= MOST:
        raise UsageError(f"{source}: {key}: found {found!r}, wanted a list of 1 to {MOST} stages")
    return tuple(settings.convert(RaceTraining, stage, source, f"{key}[{n}].") for n, stage in enumerate(found))


@dataclass(frozen=True)
class RaceRecipe:
    """How a policy for races is trained."""

    name: str = setting(description="Of the recipe, which its policies name.")
    airframe: str = setting("racer", "A name among config/airframes or a path.")
    hidden: tuple[int, ...] = setting((128, 128), "Widths of the hidden layers.", low=1, high=1024, length=(1, 4))
    dense: bool = setting(False, "Layers of tanh in place of spiking neurons, to compare with.")
    tracks: TrackRanges = TrackRanges()
    courses: tuple[str, ...] = setting((), "Names or files of courses, in place of those that are drawn.", length=(0, 100))
    stages: tuple[RaceTraining, ...] = setting(
        (RaceTraining(),), "In their order; each goes on from the network of the one before.", read=_stages,
        schema=lambda: {"type": "array", "minItems": 1, "maxItems": MOST, "items": settings.schema(RaceTraining)},
    )  # fmt: skip

    def drawn_from(self) -> TrackRanges | tuple[Track, ...]:
        """The courses, or the ranges from which they are drawn. Raises UsageError."""
        self.tracks.array()
        return tuple(track.load(name) for name in self.courses) or self.tracks


def load(name: str) -> RaceRecipe:
    """The recipe of a name among `recipes`, or of the path of a YAML file. Raises UsageError."""
    path = yaml_file.find(name, "recipe", RECIPES)
    return settings.convert(RaceRecipe, yaml_file.read(path, "recipe"), f"recipe {path.name}")


def is_recipe(name: str) -> bool:
    """Whether a word names a recipe: one among `recipes`, or a YAML file that has no gates. Raises UsageError."""
    if not name.endswith((".yaml", ".yml")):
        return (RECIPES / f"{name}.yaml").is_file()
    found = yaml_file.read(Path(name), "recipe")
    return isinstance(found, dict) and "gates" not in found


def schema() -> dict[str, Any]:
    """The JSON Schema of a recipe."""
    return settings.schema(RaceRecipe)
