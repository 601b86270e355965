"""Recipes for races: which network, which courses, and the stages of its training, each of which goes on from the last."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spike_ctrl._files import named_object, settings, yaml_file
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.named_object import NamedObject
from spike_ctrl._files.ranges import setting
from spike_ctrl.learn.recipe_blocks import code_of
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


def _network(found: object, source: str, key: str) -> NamedObject:
    if code := code_of(found, source, key):
        return code
    wanted = "module:Name, or {class: module:Name, ...} with its arguments"
    raise UsageError(f"{source}: {key}: found {found!r}, wanted {wanted}")


@dataclass(frozen=True)
class RaceRecipe:
    """How a policy for races is trained."""

    name: str = setting(description="Of the recipe, which its policies name.")
    airframe: str = setting("racer", "A name among config/airframes or a path.")
    hidden: tuple[int, ...] = setting((128, 128), "Widths of the hidden layers.", low=1, high=1024, length=(1, 4))
    recurrent: bool = setting(False, "Whether the last hidden layer also has its own last spikes as inputs.")
    network: NamedObject | None = setting(
        None, "Another network than the spiking one, by name: see `plain_networks`.", read=_network,
        schema=settings.any_of(*named_object.SCHEMAS),
    )  # fmt: skip
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
    return settings.convert(RaceRecipe, _upon_base(yaml_file.read(path, "recipe")), f"recipe {path.name}")


def _upon_base(found: Any) -> Any:
    """A recipe's keys over those of the recipe that it names as its base, which has none itself. Raises UsageError."""
    if not isinstance(found, dict) or "base" not in found:
        return found
    base = yaml_file.read(yaml_file.find(str(found["base"]), "recipe", RECIPES), "recipe")
    rest = {key: value for key, value in found.items() if key != "base"}
    return {**base, **rest} if isinstance(base, dict) else rest


def is_recipe(name: str) -> bool:
    """Whether a word names a recipe: one among `recipes`, or a YAML file that has no gates. Raises UsageError."""
    if not name.endswith((".yaml", ".yml")):
        return (RECIPES / f"{name}.yaml").is_file()
    found = yaml_file.read(Path(name), "recipe")
    return not (isinstance(found, dict) and "gates" in found)


def schema() -> dict[str, Any]:
    """The JSON Schema of a recipe."""
    found = settings.schema(RaceRecipe)
    found["properties"]["base"] = {"type": "string", "description": "Name or path of the recipe whose keys these change."}
    return found
