"""Where installed packages add to spike_ctrl: entry points in their pyproject.toml. docs/plug_ins.md describes each point.

An entry point is loaded when it is used, so that a broken or slow plug-in costs nothing before.
"""

from collections.abc import Callable, Iterator
from functools import cache
from importlib import metadata
from typing import Any

from spike_ctrl._files.errors import UsageError, meant

_look = cache(lambda entry_points: entry_points())  # through all installed packages, which takes 30 ms: once

POINTS = {
    "verbs": "a verb of spike-ctrl",
    "verb_options": "options of a verb, named VERB.NAME",
    "report_sections": "charts in the report of a flight",
    "model_tables": "tables in the report on a model",
    "run_comparisons": "a section of the report on several runs",
    "exporters": "a format of spike-ctrl export",
    "importers": "a kind of log for spike-ctrl import",
    "autopilot_links": "a way of commands to an autopilot",
    "flight_conditions": "a condition for the take-off and the engagement of a flight",
    "launchers": "what runs a launch file where ROS 2's own launch is missing",
    "launch_arguments": "arguments and nodes of a launch file, named FILE.NAME",
    "trajectories": "a kind of trajectory of a flight",
    "schemas": "the JSON Schema of a kind of file, for spike-ctrl schema",
    "controllers": "a controller to compare with in spike-ctrl eval and benchmark",
    "simulators": "a simulator of others for spike-ctrl eval",
    "protocols": "a protocol of spike-ctrl eval",
    "policy_formats": "a network that is not ours, as a graph in a checkpoint",
    "networks": "a network that is not ours, in training",
    "models": "a folder of trained models, which a name alone finds",
    "policy_runtimes": "what steps a policy in flight, such as a chip",
    "observations": "what a policy sees in flight beyond state and set-point",
    "devices": "methods of learning with kernels of their own for a device",
}
"""The points; the group of entry points is `spike_ctrl.POINT`."""
SHIPPED: dict[str, dict[str, str]] = {
    "spike_ctrl_adaptation": {"verbs": "adapt", "launch_arguments": "adapt from_transitions"},
    "spike_ctrl_benchmark": {
        "verbs": "bench benchmark",
        "verb_options": "--compensate-battery --drawn-by --mellinger --off-centre --pid --plants --ranges --raptor "
        "--simulator",
        "protocols": "airframes corners real-flights rotor-loss rotor-stuck thrown",
        "controllers": "pid mellinger raptor",
        "simulators": "crazyflow rotorpy l2f",
    },
    "spike_ctrl_betaflight": {"autopilot_links": "betaflight", "verbs": "betaflight", "verb_options": "--autopilot"},
    "spike_ctrl_crazyflie": {"verbs": "fly refly"},
    "spike_ctrl_export": {"verbs": "export", "exporters": "c checkpoint crazyflie nir onnx"},
    "spike_ctrl_fleet": {"flight_conditions": "separation"},
    "spike_ctrl_identify": {"verbs": "identify fidelity import retrain", "importers": "csv ulog", "schemas": "map"},
    "spike_ctrl_launcher": {"launchers": "own"},
    "spike_ctrl_networks": {"policy_formats": "onnx", "networks": "module"},
    "spike_ctrl_racing": {
        "verbs": "race",
        "schemas": "course race_recipe",
        "trajectories": "course",
        "observations": "racing_30",
        "models": "racing",
    },
    "spike_ctrl_rviz": {"launch_arguments": "rviz"},
    "spike_ctrl_silicon": {
        "verbs": "silicon",
        "exporters": "fpga loihi",
        "model_tables": "hardware",
        "policy_runtimes": "fpga",
        "launch_arguments": "policy port flips",
    },
    "spike_ctrl_sitl": {
        "verbs": "demo px4 gazebo truth",
        "verb_options": "--px4-hil --px4-environment --rate --home --patience",
        "launch_arguments": "backend simulation connection system signing_key height room px4 speed",
    },
    "spike_ctrl_studies": {
        "verbs": "experiment",
        "verb_options": "--readout --ray --falsify",
        "run_comparisons": "side_by_side",
    },
    "spike_ctrl_uxrce": {"autopilot_links": "uxrce uxrce_mode"},
    "spike_ctrl_view": {"verbs": "watch film", "verb_options": "--still", "launch_arguments": "viewer"},
    "spike_ctrl_warp": {"devices": "cuda warp"},
}
"""What the packages below plug_ins/ add, so that a name whose package is missing leads to the package."""


def entries(point: str) -> dict[str, metadata.EntryPoint]:
    """The installed entry points of a point by name. Raises UsageError where two packages add the same name."""
    return _read(point, metadata.entry_points)


@cache
def _read(point: str, entry_points: Callable[[], metadata.EntryPoints]) -> dict[str, metadata.EntryPoint]:
    found: dict[str, metadata.EntryPoint] = {}
    for entry in _look(entry_points).select(group=f"spike_ctrl.{point}"):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            both = f"{_package(other)} and {_package(entry)}"
            raise UsageError(f"{point}: found '{entry.name}' in {both}, wanted it in one of them: uninstall the other")
    return found


def names(point: str) -> list[str]:
    """All names of a point: of installed packages, and of packages of this project that are not installed."""
    return sorted({*entries(point), *_shipped(point)})


def missing(point: str, name: str) -> str | None:
    """The package to install for a name of this project, in one line; None where it is installed or the name unknown."""
    package = _shipped(point).get(name)
    if package is None or any(_package(entry) == package for entry in entries(point).values()):
        return None
    folder = package.removeprefix("spike_ctrl_")
    return (
        f"'{name}' comes with the package {package}, which is not installed: pip install ./plug_ins/{folder} in a checkout"
    )


def load(point: str, name: str, what: str) -> Any:
    """The object behind a name. what: what an error calls it, as "--to". Raises UsageError."""
    if (entry := entries(point).get(name)) is None:
        if line := missing(point, name):
            raise UsageError(f"{what}: {line}")
        hint, known = meant(name, names(point)) or ";", ", ".join(names(point)) or "none: none is installed"
        raise UsageError(f"{what}: found '{name}'{hint} wanted one of {known}")
    try:
        return entry.load()
    except Exception as error:
        why = f"cannot be loaded ({type(error).__name__}: {' '.join(str(error).split())})"
        raise UsageError(f"{what}: the plug-in '{name}' of package {_package(entry)} {why}") from error


def loaded(point: str) -> Iterator[tuple[str, Any]]:
    """Each plug-in of a point: its name, and its object or, of a broken one, the UsageError."""
    for name in sorted(entries(point)):
        try:
            yield name, load(point, name, POINTS[point])
        except UsageError as error:
            yield name, error


def every(point: str, prefix: str) -> list[Any]:
    """The objects of all plug-ins whose name begins with `prefix`. Raises UsageError for a broken one."""
    return [load(point, name, POINTS[point]) for name in sorted(entries(point)) if name.startswith(prefix)]


def _package(entry: metadata.EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value.partition(":")[0]


def _shipped(point: str) -> dict[str, str]:
    return {name: package for package, points in SHIPPED.items() for name in points.get(point, "").split()}
