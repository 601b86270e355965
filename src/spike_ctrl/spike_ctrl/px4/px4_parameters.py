"""PX4's parameters for an airframe: hover thrust, motor curve and mixer."""

from __future__ import annotations

import numpy as np

from spike_ctrl.airframe import Airframe

DEFAULT_HOVER, HOVER_WITHIN = 0.5, 0.1  # MPC_THR_HOVER of PX4's default, and by how much it may be off


def hover_thrust(airframe: Airframe) -> float:
    """The share of the full thrust, as PX4 commands it, that carries the weight. See `thrust_model`."""
    return airframe.hover if airframe.action_layout == "rates" else 1 / airframe.thrust_to_weight


def thrust_model(airframe: Airframe) -> dict[str, float]:
    """MPC_THR_HOVER and THR_MDL_FAC.

    THR_MDL_FAC is the share f of the square in PX4's model of a motor's thrust, f u^2 + (1 - f) u. PX4 puts the inverse of
    the model between mixer and motors. Layout `rates`: our rate loop has no such inverse, so f is 0. Layout `motors`: PX4
    receives thrusts, and f is the best fit to the airframe's thrust curve (least squares).
    """
    hover = hover_thrust(airframe)
    if airframe.action_layout == "rates":
        return {"MPC_THR_HOVER": round(hover, 4), "THR_MDL_FAC": 0.0}
    u = np.linspace(0, 1, 101)
    curve = np.array([airframe.thrust(float(value)) for value in u])
    bend, found = u - u * u, u - curve / airframe.thrust(1.0)
    share = float(np.clip(bend @ found / (bend @ bend), 0, 1))
    return {"MPC_THR_HOVER": round(min(max(hover, 0.1), 0.8), 4), "THR_MDL_FAC": round(share, 4)}


def thrust_changes(airframe: Airframe) -> dict[str, float]:
    """`thrust_model` of an airframe that is commanded by its motors; none for others, which fly with PX4's defaults."""
    return thrust_model(airframe) if airframe.action_layout == "motors" else {}


def hover_changes(airframe: Airframe) -> dict[str, float]:
    """MPC_THR_HOVER of an airframe that is commanded by rates, where PX4's default is too far off; none where it is not."""
    if airframe.action_layout != "rates" or abs(airframe.hover - DEFAULT_HOVER) <= HOVER_WITHIN:
        return {}
    return {"MPC_THR_HOVER": round(airframe.hover, 4)}


def airmode(airframe: Airframe) -> int:
    """MC_AIRMODE: whether PX4's mixer adds thrust for torques in roll and pitch."""
    return int(airframe.rate_loop is not None and airframe.rate_loop.airmode == "roll_pitch")
