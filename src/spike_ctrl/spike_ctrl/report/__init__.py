"""One HTML page from models, runs and bags: what was learned and what was flown, with plotly inside and no network.

write("report.html", ["models/crazyflie.safetensors", "runs/short", "bags/20260101-120000"])
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spike_ctrl import __version__
from spike_ctrl.policy import checkpoint


class ReportError(ValueError):
    """Something that cannot be reported on; one line names it, what was found and what is wanted."""


def kind(path: Path) -> str:
    """ "model", "run" or "bag": what a path is, by what is there. Raises ReportError."""
    if path.suffix == ".safetensors" and checkpoint.place(path).is_file():
        return "model"
    if path.is_dir() and (path / "metrics.jsonl").is_file():
        return "run"
    if (path.is_file() and path.suffix in (".mcap", ".db3")) or (path.is_dir() and any(path.glob("**/*.mcap"))):
        return "bag"
    if path.is_dir() and (path / "metadata.yaml").is_file():
        return "bag"
    found = "a folder" if path.is_dir() else "a file" if path.exists() else "nothing"
    raise ReportError(f"{path}: found {found}, wanted a model (.safetensors), a run's folder (metrics.jsonl) or a bag")


def write(target: Path, paths: Sequence[Path], still: bool = False) -> None:
    """Write the report on these paths, interactive or with still pictures.

    Raises ReportError, BagError, CheckpointError, AirframeError.
    """
    from spike_ctrl.report import bag_section, model_section, page, run_section

    kinds = [(path, kind(path)) for path in paths]
    models = [model_section.fly(path) for path, found in kinds if found == "model"]
    sections = [model_section.side_by_side(models)] if len(models) > 1 else []
    flown = iter(models)
    for path, found in kinds:
        if found == "model":
            sections.append(model_section.section(next(flown)))
        elif found == "run":
            sections.append(run_section.section(path))
        else:
            sections.append(bag_section.section(path, [m.path for m in models]))
    about = f"{', '.join(map(str, paths))}; made by spike_ctrl {__version__}"
    try:
        Path(target).write_text(page.page("spike_ctrl report", sections, about, still), encoding="utf-8")
    except OSError as error:
        raise ReportError(f"{target}: cannot be written ({error.strerror})") from None


def thinned(length: int, most: int = 4000) -> np.ndarray:
    """Indices that show a signal of this length with at most so many points, evenly."""
    return np.unique(np.linspace(0, max(length - 1, 0), min(length, most)).astype(int))
