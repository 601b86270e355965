"""spike_ctrl: spiking neural networks that fly quadrotors. The library; it knows no ROS and reads no clock.

>>> import spike_ctrl
>>> policy = spike_ctrl.load_policy("crazyflie")
>>> spike_ctrl.evaluate(policy, "crazyflie", starts=64).headline > 450
True

A name is imported when it is used first, and so are torch, numba and Gymnasium. After `import spike_ctrl`, Gymnasium makes
"spike_ctrl/Position-v0".
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from spike_ctrl._files.errors import meant
from spike_ctrl.sim import gymnasium_registration

if TYPE_CHECKING:
    from spike_ctrl.airframe import Airframe as Airframe
    from spike_ctrl.control.geometric_guide import GeometricGuide as GeometricGuide
    from spike_ctrl.control.guide_protocol import Guide as Guide
    from spike_ctrl.control.trajectory import Trajectory as Trajectory
    from spike_ctrl.evaluation.benchmark import evaluate as evaluate
    from spike_ctrl.evaluation.evaluation_result import Evaluation as Evaluation
    from spike_ctrl.evaluation.protocols import Gust as Gust
    from spike_ctrl.evaluation.tracking import Tracking as Tracking
    from spike_ctrl.evaluation.tracking import track as track
    from spike_ctrl.learn.start_training import train as train
    from spike_ctrl.policy.checkpoint import load_policy as load_policy
    from spike_ctrl.policy.policy_protocol import Policy as Policy
    from spike_ctrl.sim.environment import Environment as Environment
    from spike_ctrl.sim.gymnasium_environments import make_env as make_env
    from spike_ctrl.sim.step_view import StepView as StepView
    from spike_ctrl.snn.network import SpikingNetwork as SpikingNetwork

_HOMES = {
    "Airframe": "airframe",
    "Environment": "sim.environment",
    "Evaluation": "evaluation.evaluation_result",
    "GeometricGuide": "control.geometric_guide",
    "Guide": "control.guide_protocol",
    "Gust": "evaluation.protocols",
    "Policy": "policy.policy_protocol",
    "SpikingNetwork": "snn.network",
    "StepView": "sim.step_view",
    "Tracking": "evaluation.tracking",
    "Trajectory": "control.trajectory",
    "evaluate": "evaluation.benchmark",
    "load_policy": "policy.checkpoint",
    "make_env": "sim.gymnasium_environments",
    "track": "evaluation.tracking",
    "train": "learn.start_training",
}
__all__ = sorted(_HOMES)

__version__ = "0.2.0"


gymnasium_registration.register()


def __getattr__(name: str) -> object:
    """The public name or the package of that name, imported now."""
    if name in _HOMES:
        found = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = found
        return found
    if name in _packages():
        return importlib.import_module(f"{__name__}.{name}")
    # Without an object, or Python would add the same hint once more.
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{meant(name, __dir__())}", name=name, obj=None)


def __dir__() -> list[str]:
    return sorted({*__all__, *_packages(), "__version__"})


def _packages() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]
