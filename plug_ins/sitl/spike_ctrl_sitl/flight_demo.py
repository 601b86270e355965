"""What a demonstration flight came to: figures of its legs, drawings and a page, all in its folder."""

from collections.abc import Sequence
from pathlib import Path

from spike_ctrl._files import atomic_file, output_paths
from spike_ctrl.recordings.flight_log import read_log
from spike_ctrl.report import bag_section, page
from spike_ctrl_sitl import path_error, track_section, true_states
from spike_ctrl_sitl.path_error import FlownLeg


def judge(folder: Path, kinds: Sequence[str], duration: float) -> list[FlownLeg] | None:
    """The legs of the flight that lies in a folder as `bag` and `truth.csv`; None where the policy did not fly.

    kinds: of the trajectories; duration: s of each. Raises UsageError.
    """
    log, true = read_log(folder / "bag"), true_states.read(folder / "truth.csv")
    flown = None if log is None else path_error.flown_track(log, true)
    if flown is None:
        return None
    legs = path_error.legs(flown, kinds, duration)
    # What a leg does not have is NaN, which JSON does not know.
    figures = {leg.name: {n: v for n, v in leg._asdict().items() if n != "name" and v == v} for leg in legs}
    output_paths.write_json("--output", folder / "figures.json", figures)
    track_section.save_png(flown, legs, duration, folder / "track.png")
    sections = [track_section.section(flown, legs, duration), bag_section.section(folder / "bag")]
    atomic_file.write_text(folder / "track.html", page.page("spike_ctrl flight demo", sections))
    return legs
