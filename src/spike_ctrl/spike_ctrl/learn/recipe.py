"""Recipes: one YAML says how a run trains. Every key is checked: unknown, mistyped and out-of-range ones are named."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spike_ctrl._files import named_object, ranges, settings, yaml_file
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.named_object import NamedObject
from spike_ctrl._files.ranges import setting, within
from spike_ctrl.airframe import ACTION_LAYOUTS, Airframe
from spike_ctrl.control.geometric_guide import Gains
from spike_ctrl.learn.algorithm_settings import BPTTSettings, DaggerSettings, PPOSettings, TD3BCSettings
from spike_ctrl.learn.recipe_blocks import (
    JumpStartSettings,
    LearnedGuide,
    NetworkSettings,
    ReplaySettings,
    ScheduleSettings,
    TaskSettings,
    code_of,
)
from spike_ctrl.sim.rotor_loss import RotorLoss
from spike_ctrl.sim.sensor_noise import SensorSettings

# Blocks of a recipe that belong to one algorithm only.
ALGORITHMS = {
    "td3bc": ("replay", "td3bc", "critic_width"),
    "ppo": ("ppo", "critic_width"),
    "dagger": ("dagger", "critic_width"),
    "bptt": ("bptt",),
}

FORMER = {"distillation": "dagger", "model_gradient": "bptt"}  # algorithms by their names in the version before

BLOCKS = {key for blocks in ALGORITHMS.values() for key in blocks}

SHIFT = {"reward_scale", "reward_shift", "crash_reward"}  # of `td3bc`, for reward: shifted

# Values that no recipe of version 0.1 has and that change nothing: recipes are written without them, as before.
NEW: dict[str, Any] = {"code": None, "terms": {}, "noise_left": 1.0, "noise_time": 0.0, "noise_spread": False}
NEW |= {"bc_own": 1.0, "bc_unit": "one", "q_unit": "mean", "sizes": False, "exponent": 1.0, "deviation_end": 0.0}
NEW |= {"body_drag": 0.0, "velocity_moment": 0.0, "dead_time": 0.0, "charge_low": 1.0, "charge_high": 1.0, "moment_z": 1.0}
NEW |= {"insert": {}, "airframes": None, "voltage": False, "hover_trim": False, "shadow": 0.0}
NEW |= {"body_rate": 0.0, "body_rate_at": 8.0, "angular_drag": 0.0, "joint": 0.0, "by_flight": 0.0}
NEW |= {"rotor_loss": dataclasses.asdict(RotorLoss()), "thrown": 0.0, "at_once": False, "weak": 0.0}
NEW |= {"sensors": {key: value for key, value in dataclasses.asdict(SensorSettings()).items() if key not in NEW}}

FIRST = {"motors": "default", "rates": "rates"}
"""The recipe to begin with, by an airframe's layout of actions."""


def _algorithm(value: Any, source: str, key: str) -> str | NamedObject:
    if code := code_of(value, source, key):
        return code
    if not isinstance(value, str) or FORMER.get(value, value) not in ALGORITHMS:
        raise UsageError(f"{source}: {key}: found {value!r}, wanted one of {', '.join(ALGORITHMS)} or module:Name")
    return present_name(value, f"{source}: {key}")


def present_name(algorithm: str, source: str) -> str:
    """The name of an algorithm, with a warning where it is a former one. source: what the warning begins with."""
    if (name := FORMER.get(algorithm, algorithm)) != algorithm:
        settings.warn_of(f"{source}: {algorithm}", name, algorithm)
    return name


def _network(value: Any, source: str, key: str) -> NetworkSettings:
    code = code_of(value, source, key)
    if code is None:
        return settings.convert(NetworkSettings, value, source, f"{key}.")
    arguments = dict(code.arguments)
    ours = {"slope": {"kind": "fixed"}} | {name: arguments.pop(name) for name in ("slope", "voltage") if name in arguments}
    network = settings.convert(NetworkSettings, ours, source, f"{key}.")
    return dataclasses.replace(network, code=NamedObject(code.name, arguments))


def _guide(value: Any, source: str, key: str) -> Gains | NamedObject | LearnedGuide | str:
    if isinstance(value, str) and value.endswith(".safetensors"):
        return value
    if code := code_of(value, source, key):
        return code
    if not isinstance(value, dict):
        wanted = "gains, module:Name, a path to a .safetensors file, or a recipe that trains it"
        raise UsageError(f"{source}: {key}: found {value!r}, wanted {wanted}")
    kind: type[LearnedGuide | Gains] = LearnedGuide if "recipe" in value else Gains
    return settings.convert(kind, value, source, f"{key}.")


_ALGORITHM = settings.any_of({"enum": list(ALGORITHMS)}, *named_object.SCHEMAS)
_NETWORK = settings.any_of(NetworkSettings, *named_object.SCHEMAS)
_GUIDE = settings.any_of(Gains, LearnedGuide, *named_object.SCHEMAS, {"type": "string", "pattern": r"\.safetensors$"})


@dataclass(frozen=True)
class Recipe:
    """Everything that a training run needs beside airframe, number of vehicles and seed."""

    name: str = setting(description="Name of the recipe.")
    layout: str = setting("any", "Layout of actions that it was made for.", choices=("any", *ACTION_LAYOUTS))
    device: str = setting("cpu", "Where it learns: cpu, cuda, cuda:N, warp, or auto: a graphics card if there is one.")
    weights: str = setting("", "Checkpoint of a network of the same sizes, from whose weights the training starts.")
    algorithm: str | NamedObject = setting(
        "td3bc", "How the policy learns, or code of your own by name.", read=_algorithm, schema=_ALGORITHM
    )
    task: TaskSettings = setting(TaskSettings(), "The task.")
    network: NetworkSettings = setting(
        NetworkSettings(), "The network, or a module of your own by name.", read=_network, schema=_NETWORK
    )
    guide: Gains | NamedObject | LearnedGuide | str = setting(
        Gains(), "Gains, code of your own by name, a checkpoint, or a recipe that trains it.", read=_guide, schema=_GUIDE
    )
    jump_start: JumpStartSettings = setting(JumpStartSettings(), "The guide's share of the episodes.")
    schedule: ScheduleSettings = setting(ScheduleSettings(), "How long the training takes.")
    replay: ReplaySettings = setting(ReplaySettings(), "The replay buffer of td3bc.")
    td3bc: TD3BCSettings = setting(TD3BCSettings(), "Settings of td3bc.")
    ppo: PPOSettings = setting(PPOSettings(), "Settings of ppo.")
    dagger: DaggerSettings = setting(DaggerSettings(), "Settings of dagger.", formerly="distillation")
    critic_width: int = within(256, 8, 4096, "Width of the critic's hidden layers.")
    bptt: BPTTSettings = setting(BPTTSettings(), "Settings of bptt.", formerly="model_gradient")

    def with_steps(self, steps: int) -> Recipe:
        """The same recipe for another number of environment steps; 0 keeps its own. All schedules stretch with it, and a
        guide that is learned first learns for as much longer.

        Raises UsageError where they are out of range.
        """
        schedule = dataclasses.replace(self.schedule, steps=steps) if steps else self.schedule
        ranges.check(schedule, f"recipe {self.name}: schedule")
        guide = self.guide
        if steps and isinstance(guide, LearnedGuide):
            guide = dataclasses.replace(guide, steps=max(1000, round(guide.steps * steps / self.schedule.steps)))
        return dataclasses.replace(self, schedule=schedule, guide=guide)

    def on(self, device: str | None) -> Recipe:
        """The same recipe on another device; None keeps its own."""
        return self if device is None else dataclasses.replace(self, device=device)

    def require_fit(self, airframe: Airframe) -> None:
        """Raise UsageError where the recipe was made for another airframe, or its method cannot take its reward terms."""
        if self.layout not in ("any", airframe.action_layout):
            wanted = f"'{airframe.action_layout}' for airframe {airframe.name}"
            hint = f"; made for it: recipe {FIRST[airframe.action_layout]}"
            raise UsageError(f"recipe {self.name}: layout: found '{self.layout}', wanted {wanted}{hint}")
        if self.task.terms and self.algorithm == "bptt":
            found = f"found {', '.join(self.task.terms)}, wanted none for bptt, whose costs are fixed"
            raise UsageError(f"recipe {self.name}: task.terms: {found}; base: td3bc, td3, ppo or dagger takes them")
        if self.network.voltage and airframe.battery is None:
            found = f"found true for airframe {airframe.name}, which has no battery"
            raise UsageError(f"recipe {self.name}: network.voltage: {found}, wanted an airframe with one")


def find(name: str) -> Recipe:
    """The recipe of that name among config/recipes, or the one in the YAML file at that path."""
    return load(yaml_file.find(name, "recipe"))


def sensors(name: str) -> SensorSettings:
    """The sensors' errors that a recipe trains with. Raises UsageError where its sensors have none."""
    found = find(name).task.randomisation.sensors
    if found.exact:
        known = "such as real, whose task.randomisation.sensors says how they err"
        raise UsageError(f"recipe {name}: task.randomisation.sensors: found no errors, wanted some, {known}")
    return found


def load(path: Path) -> Recipe:
    """Read a recipe from a YAML file. Raises UsageError."""
    return from_dict(yaml_file.read(Path(path), "recipe"), f"recipe {path}")


def from_dict(data: Any, source: str = "recipe") -> Recipe:
    """Build and validate a Recipe from nested mappings; missing keys are those of the recipe `base`, or the defaults."""
    data = _with_reward(_upon_base(data, source, ()))
    recipe = settings.convert(Recipe, data, source)
    for key in sorted(_foreign(recipe) & set(data)):
        users = " and ".join(name for name, blocks in ALGORITHMS.items() if key in blocks)
        raise UsageError(f"{source}: {key}: found in a recipe for {recipe.algorithm}, wanted only for {users}")
    if recipe.network.voltage and recipe.algorithm != "bptt":
        found = f"found true in a recipe for {recipe.algorithm}, whose observations have 18 numbers"
        raise UsageError(f"{source}: network.voltage: {found}, wanted true only for bptt")
    if recipe.network.voltage and recipe.task.airframes:
        found = "found true beside task.airframes, whose airframes have no batteries of their own"
        raise UsageError(f"{source}: network.voltage: {found}, wanted only one of the two keys")
    replay, td3bc = recipe.replay, recipe.td3bc
    if td3bc.reward != "shifted" and (typed := sorted(SHIFT & set(data.get("td3bc", {})))):
        raise UsageError(
            f"{source}: td3bc.{typed[0]}: found beside reward: {td3bc.reward}, wanted only beside reward: shifted"
        )
    if recipe.schedule.hover_trim and (recipe.network.code or recipe.network.voltage):
        found = f"found with network {recipe.network.code.name}" if recipe.network.code else "found with network.voltage"
        raise UsageError(f"{source}: schedule.hover_trim: {found}, wanted only with a spiking network that sees 18 numbers")
    if td3bc.q_full < td3bc.q_from:
        raise UsageError(f"{source}: td3bc.q_full: found {td3bc.q_full}, wanted at least q_from, {td3bc.q_from}")
    if td3bc.burn_in >= replay.window:
        raise UsageError(f"{source}: td3bc.burn_in: found {td3bc.burn_in}, wanted less than replay.window, {replay.window}")
    return recipe


def schema() -> dict[str, Any]:
    """The JSON Schema of a recipe's file."""
    about = settings.schema(Recipe)
    about["properties"]["base"] = {"type": "string", "description": "Name or path of the recipe whose keys these change."}
    return about | {"required": [], "anyOf": [{"required": ["name"]}, {"required": ["base"]}]}


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as nested mappings of plain values, as `from_dict` takes it: without what belongs to other algorithms, and
    without layout, weights, device and, of an algorithm of your own, blocks that are the defaults.
    """
    defaults = {f.name: f.default for f in dataclasses.fields(recipe)}
    unsaid = {"layout", "weights", "device"} | (BLOCKS if isinstance(recipe.algorithm, NamedObject) else set())
    left_out = _foreign(recipe) | {name for name in unsaid if getattr(recipe, name) == defaults[name]}
    return {name: _plain(getattr(recipe, name)) for name in defaults if name not in left_out}


def _foreign(recipe: Recipe) -> set[str]:
    """The blocks that the recipe's algorithm does not use; none where that is code of your own."""
    if isinstance(recipe.algorithm, NamedObject):
        return set()
    return BLOCKS - set(ALGORITHMS[recipe.algorithm])


def _upon_base(data: Any, source: str, above: tuple[str, ...]) -> Any:
    """The mappings laid over those of the recipe that they name as their base, all keys under their present names."""
    data = settings.renamed(Recipe, data, source)
    if not isinstance(data, dict) or "base" not in data:
        return data
    name = data["base"]
    if not isinstance(name, str) or name in above:
        wanted = "the name of a recipe that is not made from this one"
        raise UsageError(f"{source}: base: found {name!r}, wanted {wanted}")
    try:
        path = yaml_file.find(name, "recipe")
    except UsageError as error:
        raise UsageError(f"{source}: base: {error}") from None
    below = _upon_base(yaml_file.read(path, "recipe"), f"recipe {path}", (*above, name))
    rest = {key: value for key, value in data.items() if key != "base"}
    if not isinstance(below, dict):
        return rest
    network, schedule = rest.get("network"), below.get("schedule")
    if isinstance(network, dict) and "class" in network and isinstance(schedule, dict):
        # A network of your own has no first bias that could be trimmed: the base's wish is for its own network.
        below = below | {"schedule": {key: value for key, value in schedule.items() if key != "hover_trim"}}
    return _laid_over(below, rest)


def _laid_over(below: dict[Any, Any], above: dict[Any, Any]) -> dict[Any, Any]:
    """Key by key, and block by block. A block that names code or a recipe is of another kind, and stands alone."""

    def replaces(key: object, value: object) -> bool:
        return not isinstance(value, dict) or not isinstance(below.get(key), dict) or bool({"class", "recipe"} & set(value))

    both = {key: value if replaces(key, value) else _laid_over(below[key], value) for key, value in above.items()}
    return below | both


def _with_reward(data: Any) -> Any:
    """The same, where it shifts the reward without saying so, as recipes did before there was a floor, with these words."""
    td3bc = data.get("td3bc") if isinstance(data, dict) else None
    if not isinstance(td3bc, dict) or "reward" in td3bc or not SHIFT & set(td3bc):
        return data
    return data | {"td3bc": {"reward": "shifted"} | td3bc}


def _plain(value: Any) -> Any:
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
