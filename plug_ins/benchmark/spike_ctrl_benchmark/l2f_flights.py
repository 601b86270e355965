"""Whole airframes in l2f, the simulator in which RAPTOR learned: `spike-ctrl eval --protocol airframes --simulator l2f`."""

import functools
from collections.abc import Callable
from typing import Any

from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl_benchmark.any_airframe import ANY
from spike_ctrl_benchmark.l2f_airframes import draw_as_raptor, without_air
from spike_ctrl_benchmark.l2f_environment import L2fEnvironment


def fly_l2f(fly_sets: Callable[..., dict[str, dict[str, Any]]], vehicle: Airframe, drawn_by_raptor: bool) -> dict[str, Any]:
    """The figures of each controller in l2f; of airframes that we draw, also in our simulator without drag.

    fly_sets: flies the controllers through sets of airframes: words for the table, `ranges` and `simulator`.
    """
    try:
        import l2f  # noqa: F401
    except ImportError:
        hint = "pip install -r requirements/l2f.txt compiles it for some 15 minutes"
        raise UsageError(f"--simulator: the package l2f is missing: {hint}") from None
    ranges = without_air(ANY[vehicle.action_layout])
    if drawn_by_raptor:
        simulator = functools.partial(L2fEnvironment, draw=draw_as_raptor)
        return fly_sets("drawn as by RAPTOR's training, in l2f: ", ranges=ranges, simulator=simulator)
    ours = fly_sets("without drag, in our simulator: ", ranges=ranges)
    theirs = fly_sets("without drag, in l2f: ", ranges=ranges, simulator=L2fEnvironment)
    return {label: found | {"without_l2f": ours[label]} for label, found in theirs.items()}
