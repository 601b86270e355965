"""The picture of what a spiking state knows of its airframe over time."""

from spike_ctrl_studies.figures import Figure, Line, Panel
from spike_ctrl_studies.state_readout import StateReadout

WORDS = {
    "mass": "mass",
    "thrust_to_weight": "thrust/weight",
    "lag": "lag of the rotors",
    "roll_authority": "authority over roll",
    "told_thrust": "thrust where the hover is expected",
    "late": "time from command to effect",
}


def figure(readout: StateReadout) -> Figure:
    """R^2 of each property against the time: from the spiking state, and from what the policy saw."""
    panels = []
    for title, found in (("from the spiking state", readout.state), ("from what the policy saw alone", readout.seen)):
        lines = [
            Line(WORDS[name], readout.seconds.tolist(), r2.clip(0, 1).tolist(), colour=colour)
            for colour, (name, r2) in enumerate(found.items())
        ]
        panels.append(Panel(title, "seconds after the start", "R^2 on other airframes", lines, low=0.0))
    return Figure("readout", "A linear read-out of the quadrotor that is flown", panels)
