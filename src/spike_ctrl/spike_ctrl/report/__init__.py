"""Reports: one HTML page on models, runs and bags. plotly is inside the page, so it needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spike_ctrl import __version__, plug_ins
from spike_ctrl._files import atomic_file
from spike_ctrl._files.errors import UsageError, refused
from spike_ctrl.policy import checkpoint

if TYPE_CHECKING:
    from spike_ctrl.report.page import Draw


def kind(path: Path) -> str:
    """What a path is: "model", "run", "bag", or "runs" for a folder of runs. Raises UsageError for anything else."""
    from spike_ctrl.report import told_run

    if path.suffix == ".safetensors" and checkpoint.place(path).is_file():
        return "model"
    if path.is_dir() and (path / "metrics.jsonl").is_file():
        return "run"
    if path.is_dir() and told_run.inside(path):
        return "runs"
    in_bag = any(path.glob("**/*.mcap")) or (path / "metadata.yaml").is_file()
    if in_bag or (path.is_file() and path.suffix in (".mcap", ".db3")):
        return "bag"
    found = "a folder" if path.is_dir() else "a file" if path.exists() else "nothing"
    raise UsageError(
        f"{path}: found {found}, wanted a model (.safetensors), a run (a folder with metrics.jsonl), "
        "a folder of runs, or a bag"
    )


def write(target: Path, paths: Sequence[Path], draw: Draw | None = None, namespace: str | None = None) -> list[str]:
    """Write a report on models, runs and bags to the file `target`. Gives the titles of its sections.

    draw: how charts are drawn in place of interactive ones. namespace: of the graph in the bags. Raises UsageError.
    """
    kinds = [(path, kind(path)) for path in paths]
    if namespace is not None and "bag" not in dict(kinds).values():
        raise UsageError(f"--namespace: found '{namespace}' and no bag, wanted a bag that holds several graphs")

    from spike_ctrl.report import bag_section, model_section, page, run_section, told_run  # slow: not before

    told = {path: told_run.read(path) for path, found in kinds if found == "run"}
    inside = {run.resolve(): run for path, found in kinds if found == "runs" for run in told_run.inside(path)}
    named = {path.resolve() for path in told}  # a run counts once, though it is given beside its folder
    gathered = [told_run.read(run) for place, run in inside.items() if place not in named]
    models = [model_section.fly_model(path) for path, found in kinds if found == "model"]
    sections = [model_section.side_by_side(models)] if len(models) > 1 else []
    if len(told) + len(gathered) > 1:
        for name in plug_ins.names("run_comparisons"):
            compared = plug_ins.load("run_comparisons", name, "a report on several runs")
            sections.append(compared([*told.values(), *gathered]))
    elif gathered:
        sections.append(run_section.section(gathered[0]))
    flown = iter(models)
    for path, found in kinds:
        if found == "model":
            sections.append(model_section.section(next(flown)))
        elif found == "run":
            sections.append(run_section.section(told[path]))
        elif found == "bag":
            sections.append(bag_section.section(path, [m.path for m in models], namespace))
    about = f"{', '.join(map(str, paths))}; made by spike_ctrl {__version__}"
    with refused(f"{target}: cannot be written"):
        atomic_file.write_text(Path(target), page.page("spike_ctrl report", sections, about, draw))
    return [section.title for section in sections]


def thinned(length: int, most: int = 4000) -> np.ndarray:
    """At most `most` indices, evenly spaced, to draw a signal of this length with."""
    return np.unique(np.linspace(0, max(length - 1, 0), min(length, most)).astype(int))
