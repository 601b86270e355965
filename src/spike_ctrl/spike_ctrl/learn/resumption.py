"""What an earlier run was started with: a resumed one needs nothing else, and nothing may contradict it."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from spike_ctrl import airframe as airframes
from spike_ctrl._files import atomic_file
from spike_ctrl._files.errors import UsageError, refused
from spike_ctrl.airframe import Airframe
from spike_ctrl.learn import recipe as recipes
from spike_ctrl.learn.recipe import Recipe


class Earlier(NamedTuple):
    """A run as its folder tells it; `environment_steps` are those it has flown."""

    recipe: Recipe
    airframe: Airframe
    vehicles: int
    seed: int
    environment_steps: int


def require_new(folder: Path, resumed_by: str = "spike-ctrl train --resume ") -> None:
    """Raises UsageError where a run is in the folder already. resumed_by: what stands before its name to go on."""
    if (folder / "run.json").exists():
        raise UsageError(f"run {folder}: exists already; name another, or resume it: {resumed_by}{folder}")


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """The folder of a new run for this program alone, though two may begin at once; given up where beginning it fails."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        (folder / "run.json").touch(exist_ok=False)
    except FileExistsError:
        require_new(folder)
    try:
        yield
    except BaseException:
        (folder / "run.json").unlink(missing_ok=True)
        raise


def read(folder: Path) -> Earlier:
    """The run in a folder. Raises UsageError for one that is incomplete or damaged."""
    for name in ("run.json", "recipe.yaml", "airframe.yaml", "state.safetensors"):
        if not (folder / name).exists():
            raise UsageError(f"run {folder}: {name} is missing, so there is nothing to resume")
    try:
        about = json.loads((folder / "run.json").read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"run {folder}: run.json: {error}") from None
    wanted = ("airframe_hash", "vehicles", "seed", "environment_steps")
    if not isinstance(about, dict) or not set(wanted) <= set(about):
        raise UsageError(f"run {folder}: run.json: found {str(about)[:60]}, wanted {', '.join(wanted)}")
    if about.get("bags"):
        raise UsageError(f"run {folder}: has learnt from bags, which it does not hold; start it anew with --from-bag")
    airframe = airframes.load(folder / "airframe.yaml")
    if airframe.hash != about["airframe_hash"]:
        raise UsageError(f"run {folder}: airframe.yaml: found hash {airframe.hash}, wanted {about['airframe_hash']}")
    counts = {name: about[name] for name in ("vehicles", "seed", "environment_steps")}
    for name, low in {"vehicles": 1, "seed": 0, "environment_steps": 0}.items():
        if type(counts[name]) is not int or counts[name] < low:
            raise UsageError(f"run {folder}: run.json: {name}: found {counts[name]!r}, wanted a whole number from {low}")
    return Earlier(recipes.load(folder / "recipe.yaml"), airframe, **counts)


def cut_metrics(folder: Path, steps: int) -> None:
    """Leave out of metrics.jsonl what came after the state of so many environment steps was saved, and broken lines."""
    told = folder / "metrics.jsonl"
    with refused(f"{told}: cannot be cut"):
        lines = told.read_text(errors="replace").splitlines() if told.exists() else []
        kept = "".join(line + "\n" for line in lines if _until(line, steps))
        atomic_file.write(told, kept.encode())


def _until(line: str, steps: int) -> bool:
    """Whether a line of metrics is whole, and not of later steps."""
    try:
        return bool(json.loads(line).get("environment_steps", 0) <= steps)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return False


def flown_before(folder: str, given: Mapping[str, object]) -> int:
    """Environment steps of the run in the folder, whose starts are flown; "": 0. Raises as `read` and `check` do."""
    if not folder:
        return 0
    earlier = read(Path(folder))
    check(Path(folder), earlier, given)
    return earlier.environment_steps


def check(folder: Path, earlier: Earlier, given: Mapping[str, object]) -> None:
    """Raise UsageError where the run is finished, or a given recipe, airframe, vehicles, seed, steps or run is not its own.

    Values may be text, as on a command line. None, "" and steps of 0 stand for those of the run.
    """

    def refuse(name: str, wanted: object) -> None:
        raise UsageError(
            f"run {folder}: {name}: found {given[name]}, wanted {wanted} as when it was started; leave it out to resume"
        )

    def named(name: str) -> str:
        return "" if given.get(name) is None else str(given[name])

    steps = earlier.recipe.schedule.steps
    if earlier.environment_steps >= steps:
        raise UsageError(f"run {folder}: is finished; its policy is {folder / 'policy.safetensors'}")
    if named("steps") not in ("", "0", str(steps)):
        refuse("steps", steps)
    for name in ("vehicles", "seed"):
        if named(name) not in ("", str(getattr(earlier, name))):
            refuse(name, getattr(earlier, name))
    if named("airframe") and (craft := airframes.load(named("airframe"))).hash != earlier.airframe.hash:
        refuse("airframe", f"{earlier.airframe.name} ({earlier.airframe.hash}, not {craft.hash})")
    if named("recipe"):
        found = dataclasses.replace(recipes.find(named("recipe")), layout=earlier.recipe.layout)  # older runs name none
        if found.with_steps(steps).on(earlier.recipe.device) != earlier.recipe:
            refuse("recipe", f"{earlier.recipe.name}, equal to {folder / 'recipe.yaml'}")
    if named("run") and Path(named("run")).resolve() != folder.resolve():
        refuse("run", folder)


def arguments(folder: Path, given: Mapping[str, object]) -> dict[str, str]:
    """The arguments, as text, with which nodes go on with the run in a folder. Raises as `read` and `check` do."""
    earlier = read(folder)
    check(folder, earlier, given)
    return {
        "recipe": str(folder / "recipe.yaml"),
        "airframe": str(folder / "airframe.yaml"),
        "vehicles": str(earlier.vehicles),
        "seed": str(earlier.seed),
        "steps": "0",
    }
