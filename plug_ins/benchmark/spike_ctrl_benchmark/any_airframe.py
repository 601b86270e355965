"""From where to where the protocols draw an airframe."""

import dataclasses
from typing import Any

from spike_ctrl._files import yaml_file
from spike_ctrl._files.errors import UsageError
from spike_ctrl.sim import airframe_sampler
from spike_ctrl.sim.airframe_sampler import AirframeRanges

RATES = AirframeRanges(
    mass=(0.1, 5.0), thrust_to_weight=(1.5, 6.0), reach=(0.1, 0.3), lag=(0.01, 0.06), linear_thrust=(-0.12, 1.0),
    idle_thrust=(0.0, 0.2), drag=(0.05, 1.1), angular_drag=(0.0, 3.0), force=0.08,
)  # fmt: skip
"""From where to where the recipe any_rates and the protocol airframes draw, with the layout `rates`."""
ANY = {"motors": AirframeRanges(), "rates": RATES}
"""The same for each layout."""


def ranges(layout: str, given: str | None) -> AirframeRanges:
    """Those of a layout, but for what a user gives as YAML. Raises UsageError."""
    if given is None:
        return ANY[layout]
    try:
        named: Any = yaml_file.parse(f"{{{given}}}".encode(), "--ranges")
    except UsageError as error:
        wanted = "YAML such as 'dead_time: [0, 0.04], trim: 0'"
        raise UsageError(f"--ranges: found {given!r}, wanted {wanted} ({error})") from None
    found = airframe_sampler.from_dict(named, "--ranges")
    return dataclasses.replace(ANY[layout], **{name: getattr(found, name) for name in named})
