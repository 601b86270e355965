"""Draws the track of a flight: from above, over time, and its distance from the set-point; as PNG and as a section."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from spike_ctrl.control.trajectory import PASS_ERROR
from spike_ctrl.report import thinned
from spike_ctrl.report.colours import COLOURS, GRID_COLOUR, LEVEL_COLOUR
from spike_ctrl.report.flight_charts import curve, styled, whole_scene
from spike_ctrl.report.page import Chart, FigureTile, Section, Table, Tiles, Verdict
from spike_ctrl_sitl.path_error import FlownLeg, FlownTrack

TRUE, WANTED = COLOURS[0], COLOURS[1]


def section(track: FlownTrack, legs: Sequence[FlownLeg], duration: float) -> Section:
    """The section on a track and its legs. duration: of each leg, s."""
    tiles = [FigureTile(f"{leg.name}: RMSE", f"{100 * leg.rmse:.1f} cm", leg.passed) for leg in legs if leg.name != "step"]
    tiles += [FigureTile("step: within 15 cm after", f"{leg.settle:.2f} s") for leg in legs if leg.name == "step"]
    rows = [(leg.name, str(leg) if leg.passed is None else Verdict(str(leg), leg.passed)) for leg in legs]
    table = Table(("leg", "by the true positions of the vehicle"), rows)
    return Section("Track", [Tiles(tiles), table, _way(track), _error(track, legs, duration)])


def save_png(track: FlownTrack, legs: Sequence[FlownLeg], duration: float, path: Path) -> None:
    """Draw a track as PNG, with matplotlib. duration: of each leg, s."""
    from matplotlib.figure import Figure as Sheet

    sheet = Sheet(figsize=(11, 8.4), dpi=110, layout="constrained")
    axes = sheet.subplot_mosaic([["above", "above"], ["error", "place"]])
    sheet.suptitle("\n".join(map(str, legs)), x=0.01, ha="left", fontsize=9)
    above, error, place = axes["above"], axes["error"], axes["place"]
    above.plot(*track.set_point[:, :2].T, color=WANTED, linewidth=1.2, linestyle="--", label="set-point")
    above.plot(*track.true[:, :2].T, color=TRUE, linewidth=1.6, label="flown (truth)")
    above.plot(*track.true[0, :2], "o", color=TRUE, markersize=6, label="policy takes over")
    above.set(title="From above", xlabel="east (m)", ylabel="north (m)", aspect="equal")
    above.margins(0.08)
    error.plot(track.time, track.error, color=TRUE, linewidth=1.4)
    error.axhline(PASS_ERROR, color=LEVEL_COLOUR, linestyle=":", linewidth=1.3)
    error.set(title=f"Distance from the set-point (dotted: {PASS_ERROR} m)", ylabel="m", ylim=(0, None))
    for axis, colour in zip(range(3), COLOURS, strict=False):
        place.plot(track.time, track.set_point[:, axis], color=colour, linewidth=1.0, linestyle="--")
        place.plot(track.time, track.true[:, axis], color=colour, linewidth=1.4, label=("east", "north", "up")[axis])
    place.set(title="Position (dashed: set-point)", xlabel="s since the policy took over", ylabel="m")
    for number, leg in enumerate(legs):
        for sheet_axes in (error, place):
            sheet_axes.axvline(number * duration, color=LEVEL_COLOUR, linewidth=0.8)
        error.annotate(
            leg.name, (number * duration, 1), (4, -11), xycoords=("data", "axes fraction"), textcoords="offset points"
        )
    for one in axes.values():
        one.grid(color=GRID_COLOUR, linewidth=0.8)
        one.set_axisbelow(True)
        one.spines[["top", "right"]].set_visible(False)
    above.legend(fontsize=8, loc="upper right", framealpha=0.85, edgecolor="none")
    place.legend(fontsize=8, loc="upper right", ncols=3, framealpha=0.85, edgecolor="none")
    sheet.savefig(path)


def _way(track: FlownTrack) -> Chart:
    sheet, at = go.Figure(), thinned(len(track.time), 3000)
    ways = (("set-point", track.set_point, WANTED, "dash"), ("flown (truth)", track.true, TRUE, "solid"))
    for name, rows, colour, dash in ways:
        x, y, z = rows[at].T
        look = {"color": colour, "width": 4, "dash": dash}
        sheet.add_trace(go.Scatter3d(x=x, y=y, z=z, mode="lines", name=name, line=look))
    sheet.update_layout(scene=whole_scene(sheet, ("east (m)", "north (m)", "up (m)")))
    return Chart("Trajectory in the world", styled(sheet, 520), "True positions of the vehicle while the policy flew.")


def _error(track: FlownTrack, legs: Sequence[FlownLeg], duration: float) -> Chart:
    sheet, at = go.Figure(), thinned(len(track.time), 4000)
    sheet.add_trace(curve(track.time[at], track.error[at], "truth", 0))
    off = np.linalg.norm(track.estimate - track.set_point, axis=1)
    sheet.add_trace(curve(track.time[at], off[at], "as the autopilot estimates it", 1))
    sheet.add_hline(PASS_ERROR, line={"dash": "dot", "color": LEVEL_COLOUR})
    for number, leg in enumerate(legs):
        sheet.add_vline(number * duration, line={"color": LEVEL_COLOUR, "width": 1}, annotation_text=leg.name)
    sheet.update_xaxes(title_text="s since the policy took over")
    sheet.update_yaxes(title_text="m", rangemode="tozero")
    return Chart("Distance from the set-point", styled(sheet, 520), f"Dotted: {PASS_ERROR} m.")
