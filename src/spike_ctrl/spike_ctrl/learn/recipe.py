"""Recipes: one YAML says how a run trains. Every key is checked: unknown, mistyped and out-of-range ones are named."""

from __future__ import annotations

import dataclasses
import difflib
import json
import typing
from dataclasses import dataclass, field
from pathlib import Path

from spike_ctrl._files import named_object, ranges, yaml_file
from spike_ctrl._files.named_object import NamedObject
from spike_ctrl._files.ranges import within
from spike_ctrl.airframe import ACTION_LAYOUTS, Airframe
from spike_ctrl.control.geometric_guide import Gains
from spike_ctrl.learn.algorithm_settings import DistillationSettings, ModelGradientSettings, PPOSettings, TD3BCSettings
from spike_ctrl.learn.recipe_blocks import (
    JumpStartSettings,
    LearnedGuide,
    NetworkSettings,
    RecipeError,
    ReplaySettings,
    ScheduleSettings,
    TaskSettings,
    TermSettings,
)
from spike_ctrl.sim import airframe_sampler
from spike_ctrl.sim.pipeline import require_step
from spike_ctrl.sim.reward import TERMS, Coefficients
from spike_ctrl.sim.sensor_errors import SensorSettings
from spike_ctrl.snn import slope_schedule

# Blocks of a recipe that belong to one algorithm only.
ALGORITHMS = {
    "td3bc": ("replay", "td3bc", "critic_width"),
    "ppo": ("ppo", "critic_width"),
    "distillation": ("distillation", "critic_width"),
    "model_gradient": ("model_gradient",),
}

BLOCKS = {key for blocks in ALGORITHMS.values() for key in blocks}

SHIFT = {"reward_scale", "reward_shift", "crash_reward"}  # of `td3bc`, for reward: shifted

# Values that no recipe of version 0.1 has and that change nothing: recipes are written without them, as before.
NEW = {"code": None, "terms": {}, "noise_left": 1.0, "noise_time": 0.0, "noise_spread": False}
NEW |= {"bc_own": 1.0, "bc_unit": "one", "q_unit": "mean", "sizes": False, "root": 1.0, "deviation_end": 0.0}
NEW |= {"body_drag": 0.0, "velocity_moment": 0.0, "dead_time": 0.0, "charge_low": 1.0, "charge_high": 1.0, "moment_z": 1.0}
NEW |= {"insert": {}, "airframes": None, "voltage": False, "hover_trim": False, "shadow": 0.0, "spin": 0.0, "spin_at": 8.0}
NEW |= {"sensors": {key: value for key, value in dataclasses.asdict(SensorSettings()).items() if key not in NEW}}

STANDARD = {"td3bc": "td3bc", "ppo": "ppo", "distillation": "learned_teacher", "model_gradient": "default"}
"""The recipe of each algorithm that is trained by where none is named."""

FIRST = {"motors": "default", "rates": "rates"}
"""The recipe to begin with, by an airframe's layout of actions."""


@dataclass(frozen=True)
class Recipe:
    """Everything that a training run needs beside airframe, number of vehicles and seed.

    layout: of the actions that it was made for; any: it does not say. algorithm and guide may be code of your own by
    name; a guide may also be the path of a checkpoint, or a policy that another recipe trains first.
    """

    name: str
    layout: str = field(default="any", metadata={"choices": ("any", *ACTION_LAYOUTS)})
    algorithm: str | NamedObject = "td3bc"
    task: TaskSettings = TaskSettings()
    network: NetworkSettings = NetworkSettings()
    guide: Gains | NamedObject | LearnedGuide | str = Gains()
    jump_start: JumpStartSettings = JumpStartSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    replay: ReplaySettings = ReplaySettings()
    td3bc: TD3BCSettings = TD3BCSettings()
    ppo: PPOSettings = PPOSettings()
    distillation: DistillationSettings = DistillationSettings()
    critic_width: int = within(256, 8, 4096)
    model_gradient: ModelGradientSettings = ModelGradientSettings()

    def with_steps(self, steps: int) -> Recipe:
        """The same recipe for another number of environment steps; 0 keeps its own. All schedules stretch with it, and a
        guide that is learned first learns for as much longer.

        Raises RecipeError where they are out of range.
        """
        schedule = dataclasses.replace(self.schedule, steps=steps) if steps else self.schedule
        ranges.check(schedule, f"recipe {self.name}: schedule", RecipeError)
        guide = self.guide
        if steps and isinstance(guide, LearnedGuide):
            guide = dataclasses.replace(guide, steps=max(1000, round(guide.steps * steps / self.schedule.steps)))
        return dataclasses.replace(self, schedule=schedule, guide=guide)

    def require_fit(self, airframe: Airframe) -> None:
        """Raise RecipeError where the recipe was made for another layout of actions than the airframe's."""
        if self.layout not in ("any", airframe.action_layout):
            wanted = f"'{airframe.action_layout}' for airframe {airframe.name}"
            hint = f"; made for it: recipe {FIRST[airframe.action_layout]}"
            raise RecipeError(f"recipe {self.name}: layout: found '{self.layout}', wanted {wanted}{hint}")
        if self.network.voltage and airframe.battery is None:
            found = f"found true for airframe {airframe.name}, which has no battery"
            raise RecipeError(f"recipe {self.name}: network.voltage: {found}, wanted an airframe with one")


def find(name: str) -> Recipe:
    """The recipe of that name among config/recipes, or the one in the YAML file at that path."""
    return load(yaml_file.find(name, "recipe", RecipeError))


def sensors(name: str) -> SensorSettings:
    """The sensors' errors that a recipe trains with. Raises RecipeError where its sensors have none."""
    found = find(name).task.randomisation.sensors
    if found.exact:
        known = "such as real, whose task.randomisation.sensors says how they err"
        raise RecipeError(f"recipe {name}: task.randomisation.sensors: found no errors, wanted some, {known}")
    return found


def resumed(folder: Path) -> tuple[Recipe, dict]:
    """Recipe and particulars (airframe, vehicles, seed, environment_steps) of the run in a folder."""
    for name in ("run.json", "recipe.yaml", "state.safetensors"):
        if not (folder / name).exists():
            raise RecipeError(f"run {folder}: {name} is missing, so there is nothing to resume")
    try:
        about = json.loads((folder / "run.json").read_text())
    except (OSError, ValueError) as error:
        raise RecipeError(f"run {folder}: run.json: {error}") from None
    wanted = ("airframe_hash", "vehicles", "seed", "environment_steps")
    if not isinstance(about, dict) or not set(wanted) <= set(about):
        raise RecipeError(f"run {folder}: run.json: found {str(about)[:60]}, wanted {', '.join(wanted)}")
    return load(folder / "recipe.yaml"), about


def load(path: Path) -> Recipe:
    """Read a recipe from a YAML file. Raises RecipeError."""
    return from_dict(yaml_file.read(Path(path), "recipe", RecipeError), f"recipe {path}")


def from_dict(data: object, source: str = "recipe") -> Recipe:
    """Build and validate a Recipe from nested mappings; missing keys take their defaults, or the values of its `base`.

    base: the name or path of another recipe, whose blocks these keys change.
    """
    data = _with_reward(_upon_base(data, source, ()))
    recipe = _parse(Recipe, data, source, "")
    try:
        slope_schedule.from_config(recipe.network.slope)
    except ValueError as error:
        raise RecipeError(f"{source}: network.{error}") from None
    for key in sorted(_foreign(recipe) & set(data)):
        users = " and ".join(name for name, blocks in ALGORITHMS.items() if key in blocks)
        raise RecipeError(f"{source}: {key}: found in a recipe for {recipe.algorithm}, wanted only for {users}")
    if recipe.network.voltage and recipe.algorithm != "model_gradient":
        found = f"found true in a recipe for {recipe.algorithm}, whose observations have 18 numbers"
        raise RecipeError(f"{source}: network.voltage: {found}, wanted true only for model_gradient")
    if recipe.network.voltage and recipe.task.airframes:
        found = "found true beside task.airframes, whose batteries are not theirs"
        raise RecipeError(f"{source}: network.voltage: {found}, wanted one of them")
    replay, settings = recipe.replay, recipe.td3bc
    if settings.reward != "shifted" and (typed := sorted(SHIFT & set(data.get("td3bc", {})))):
        raise RecipeError(
            f"{source}: td3bc.{typed[0]}: found beside reward: {settings.reward}, wanted only beside reward: shifted"
        )
    if recipe.schedule.hover_trim and (recipe.network.code or recipe.network.voltage):
        found = f"found with network {recipe.network.code.name}" if recipe.network.code else "found with network.voltage"
        raise RecipeError(f"{source}: schedule.hover_trim: {found}, wanted only with a spiking network that sees 18 numbers")
    if settings.q_full < settings.q_from:
        raise RecipeError(f"{source}: td3bc.q_full: found {settings.q_full}, wanted at least q_from, {settings.q_from}")
    if settings.burn_in >= replay.window:
        raise RecipeError(
            f"{source}: td3bc.burn_in: found {settings.burn_in}, wanted less than replay.window, {replay.window}"
        )
    return recipe


def to_dict(recipe: Recipe) -> dict:
    """The recipe as nested mappings of plain values, as `from_dict` takes it: without what belongs to other algorithms, and
    without a layout that it does not name.
    """
    foreign = _foreign(recipe)
    if isinstance(recipe.algorithm, NamedObject):  # which may use any of them
        foreign = {key for key in BLOCKS if getattr(recipe, key) == Recipe.__dataclass_fields__[key].default}
    foreign |= {"layout"} if recipe.layout == "any" else set()
    return {f.name: _plain(getattr(recipe, f.name)) for f in dataclasses.fields(recipe) if f.name not in foreign}


def _foreign(recipe: Recipe) -> set[str]:
    """The blocks that the recipe's algorithm does not use; none where that is code of your own."""
    if isinstance(recipe.algorithm, NamedObject):
        return set()
    return BLOCKS - set(ALGORITHMS[recipe.algorithm])


def _upon_base(data, source: str, above: tuple[str, ...]):
    """The mappings laid over those of the recipe that they name as their base."""
    if not isinstance(data, dict) or "base" not in data:
        return data
    name = data["base"]
    if not isinstance(name, str) or name in above:
        wanted = "the name of a recipe that is not made from this one"
        raise RecipeError(f"{source}: base: found {name!r}, wanted {wanted}")
    try:
        path = yaml_file.find(name, "recipe", RecipeError)
    except RecipeError as error:
        raise RecipeError(f"{source}: base: {error}") from None
    below = _upon_base(yaml_file.read(path, "recipe", RecipeError), f"recipe {path}", (*above, name))
    rest = {key: value for key, value in data.items() if key != "base"}
    network = rest.get("network")
    if (
        isinstance(network, dict)
        and "class" in network
        and isinstance(below, dict)
        and isinstance(below.get("schedule"), dict)
    ):
        # A network of your own has no first bias that could be trimmed: the base's wish is for its own network.
        below = below | {"schedule": {key: value for key, value in below["schedule"].items() if key != "hover_trim"}}
    return _laid_over(below, rest) if isinstance(below, dict) else rest


def _laid_over(below: dict, above: dict) -> dict:
    """Key by key, and block by block. A block that names code or a recipe is of another kind, and stands alone."""

    def replaces(key, value) -> bool:
        return not isinstance(value, dict) or not isinstance(below.get(key), dict) or bool({"class", "recipe"} & set(value))

    both = {key: value if replaces(key, value) else _laid_over(below[key], value) for key, value in above.items()}
    return below | both


def _with_reward(data):
    """The same, where it shifts the reward without saying so, as recipes did before there was a floor, with these words."""
    settings = data.get("td3bc") if isinstance(data, dict) else None
    if not isinstance(settings, dict) or "reward" in settings or not SHIFT & set(settings):
        return data
    return data | {"td3bc": {"reward": "shifted"} | settings}


def _plain(value):
    if isinstance(value, NamedObject):
        return {"class": value.name, **_plain(value.arguments)} if value.arguments else value.name
    if isinstance(value, NetworkSettings) and value.code:
        voltage = {"voltage": True} if value.voltage else {}
        return {"class": value.code.name, "slope": _plain(value.slope), **voltage, **_plain(value.code.arguments)}
    if dataclasses.is_dataclass(value):
        found = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        left_out = dict(NEW)
        if isinstance(value, TD3BCSettings):
            shifted = value.reward == "shifted"  # which the keys of the shift say already
            left_out |= {"reward": "shifted"} if shifted else {key: getattr(TD3BCSettings, key) for key in SHIFT}
        return {key: item for key, item in found.items() if not (key in left_out and item == left_out[key])}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value


def _parse(kind, data, source: str, prefix: str):
    if not isinstance(data, dict):
        raise RecipeError(
            f"{source}: {prefix.rstrip('.') or 'file'}: found {type(data).__name__}, wanted a mapping of keys to values"
        )
    known = {f.name: f for f in dataclasses.fields(kind) if f.name != "code"}
    types = typing.get_type_hints(kind)
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
            raise RecipeError(f"{source}: unknown key '{prefix}{key}'; {hint}")
    values = {key: _value(types[key], known[key].metadata, value, source, prefix + key) for key, value in data.items()}
    missing = [
        f.name for f in known.values() if f.name not in values and f.default is f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise RecipeError(f"{source}: key '{prefix}{missing[0]}' is missing")
    return kind(**values)


def _value(kind, limits, value, source: str, key: str):
    if key in _SPECIAL:
        return _SPECIAL[key](value, source, key)
    if dataclasses.is_dataclass(kind):
        return _parse(kind, value, source, key + ".")
    found = f"{source}: {key}: found {value!r}, wanted"
    if kind is float and type(value) is int:
        value = float(value)
    if kind is float and isinstance(value, str):
        # YAML 1.1 reads 1e-3 as text.
        try:
            value = float(value)
        except ValueError:
            raise RecipeError(f"{found} a number") from None
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list) or not value or not all(type(item) is int and 1 <= item <= 4096 for item in value):
            raise RecipeError(f"{found} a list of whole numbers from 1 to 4096")
        return tuple(value)
    if type(value) is not kind:
        words = {float: "a number", int: "a whole number", str: "text", bool: "true or false", dict: "a mapping"}
        raise RecipeError(f"{found} {words[kind]}")
    if "choices" in limits and value not in limits["choices"]:
        raise RecipeError(f"{found} one of {', '.join(limits['choices'])}")
    low, high = limits.get("low", -1e12), limits.get("high", 1e12)
    if kind in (int, float) and not low <= value <= high:
        raise RecipeError(f"{found} {low:g} to {high:g}")
    return value


def _algorithm(value, source: str, key: str) -> str | NamedObject:
    if code := _code(value, source, key):
        return code
    if value not in ALGORITHMS:
        raise RecipeError(f"{source}: {key}: found {value!r}, wanted one of {', '.join(ALGORITHMS)} or module:Name")
    return value


def _network(value, source: str, key: str) -> NetworkSettings:
    code = _code(value, source, key)
    if code is None:
        return _parse(NetworkSettings, value, source, key + ".")
    arguments = dict(code.arguments)
    slope = _value(dict, {}, arguments.pop("slope", {"kind": "fixed"}), source, f"{key}.slope")
    voltage = _value(bool, {}, arguments.pop("voltage", False), source, f"{key}.voltage")
    return NetworkSettings(slope=slope, code=NamedObject(code.name, arguments), voltage=voltage)


def _guide(value, source: str, key: str) -> Gains | NamedObject | LearnedGuide | str:
    if isinstance(value, str) and value.endswith(".safetensors"):
        return value
    if code := _code(value, source, key):
        return code
    if not isinstance(value, dict):
        wanted = "gains, module:Name, a path to a .safetensors file, or a recipe that trains it"
        raise RecipeError(f"{source}: {key}: found {value!r}, wanted {wanted}")
    if "recipe" in value:
        return _parse(LearnedGuide, value, source, key + ".")
    return _parse(Gains, value, source, key + ".")


def _reward(value, source: str, key: str) -> str | Coefficients:
    if isinstance(value, dict):
        return _parse(Coefficients, value, source, key + ".")
    if value not in (stages := ("start", "end", "curriculum")):
        wanted = ", ".join(f.name for f in dataclasses.fields(Coefficients))
        raise RecipeError(f"{source}: {key}: found {value!r}, wanted one of {', '.join(stages)} or weights of {wanted}")
    return value


def _terms(value, source: str, key: str) -> dict[str, TermSettings]:
    if not isinstance(value, dict):
        raise RecipeError(f"{source}: {key}: found {type(value).__name__}, wanted a mapping of names to terms")
    for name, term in value.items():
        if not str(name).isidentifier() or name in (*TERMS, "survive"):
            raise RecipeError(f"{source}: {key}: found a term {name!r}, wanted a word that no term of the paper has")
        if isinstance(term, dict) and not named_object.is_name(term.get("function")):
            found = term.get("function")
            raise RecipeError(f"{source}: {key}.{name}.function: found {found!r}, wanted module:name of a function")
    return {name: _parse(TermSettings, term, source, f"{key}.{name}.") for name, term in value.items()}


def _inserts(value, source: str, key: str) -> dict[str, tuple[NamedObject, ...]]:
    if not isinstance(value, dict):
        raise RecipeError(f"{source}: {key}: found {type(value).__name__}, wanted a mapping of steps to functions")
    found: dict[str, tuple] = {}
    for step, functions in value.items():
        require_step(step, f"{source}: {key}", RecipeError)
        several = functions if isinstance(functions, list) else [functions]
        place, wanted = f"{key}.{step}", "module:name, {function: module:name, ...} with its arguments, or a list of them"
        named = tuple(_code(one, source, place, "function") or _code(one, source, place) for one in several)
        if not all(named):
            raise RecipeError(f"{source}: {place}: found {functions!r}, wanted {wanted}")
        found[step] = named
    return found


def _code(value, source: str, key: str, kind: str = "class") -> NamedObject | None:
    """What `module:Name` or `{class: module:Name, ...}` stand for, None for anything else. kind: class or function."""
    if named_object.is_name(value):
        return NamedObject(value)
    if not isinstance(value, dict) or kind not in value:
        return None
    if not named_object.is_name(value[kind]):
        raise RecipeError(f"{source}: {key}.{kind}: found {value[kind]!r}, wanted module:Name")
    arguments = {name: item for name, item in value.items() if name != kind}
    for name in arguments:
        if not str(name).isidentifier():
            raise RecipeError(f"{source}: {key}: found an argument {name!r}, wanted the name of one of {value[kind]}")
    return NamedObject(value[kind], arguments)


_SPECIAL = {
    "algorithm": _algorithm,
    "network": _network,
    "guide": _guide,
    "task.reward": _reward,
    "task.terms": _terms,
    "task.insert": _inserts,
    "task.airframes": lambda value, source, key: airframe_sampler.from_dict(value, f"{source}: {key}", RecipeError),
}
"""Keys whose values may be of several kinds, or name code, and what reads them."""
