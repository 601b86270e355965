"""What a demonstration flight came to: figures of its legs, drawings and a page, all in its folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spike_ctrl.flight import path_error
from spike_ctrl.flight.faults import Rung
from spike_ctrl.flight.path_error import FlownLeg, FlownTrack
from spike_ctrl.recordings.flight_log import FlightLog, read_log
from spike_ctrl.report import bag_section, page
from spike_ctrl.simulated_px4 import ground_truth
from spike_ctrl.simulated_px4.ground_truth import Truth
from spike_ctrl_sitl import track_section


def judge(folder: Path, kinds: Sequence[str], duration: float) -> list[FlownLeg] | None:
    """The legs of the flight that lies in a folder as `bag` and `truth.csv`; None where the policy did not fly.

    kinds: of the trajectories; duration: s of each. Raises UsageError.
    """
    log, true = read_log(folder / "bag"), ground_truth.read(folder / "truth.csv")
    flown = None if log is None else flown_track(log, true)
    if flown is None:
        return None
    legs = path_error.legs(flown, kinds, duration)
    # What a leg does not have is NaN, which JSON does not know.
    figures = {leg.name: {n: v for n, v in leg._asdict().items() if n != "name" and v == v} for leg in legs}
    (folder / "figures.json").write_text(json.dumps(figures, indent=2) + "\n")
    track_section.save_png(flown, legs, duration, folder / "track.png")
    sections = [track_section.section(flown, legs, duration), bag_section.section(folder / "bag")]
    (folder / "track.html").write_text(page.page("spike_ctrl flight demo", sections), encoding="utf-8")
    return legs


def flown_track(log: FlightLog, truth: Truth) -> FlownTrack | None:
    """The part of a recorded flight that the policy flew; None: it never flew."""
    flown = np.flatnonzero(log.rung_at(log.received) == int(Rung.SNN))
    if not len(flown):
        return None
    rows = slice(flown[0], flown[-1] + 1)
    stamp = log.stamp[rows]
    return FlownTrack(stamp - stamp[0], truth.at(stamp), log.position[rows], log.set_point[rows])
