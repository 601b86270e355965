"""The named places of a control step, and the functions that users insert there: a gust, a delay, a sensor fault, a payload.

An environment without insertions runs one fused kernel and knows none of this.
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from spike_ctrl._files.arrays import Flags, Floats, Number
from spike_ctrl._files.errors import UsageError, call, meant
from spike_ctrl.airframe import Airframe
from spike_ctrl.sim import dynamics, episode_kernels, rate_loop
from spike_ctrl.sim.battery import BatteryConstants
from spike_ctrl.sim.dynamics import DISTURBANCE_ROWS, ENDED, STEP, SUMS
from spike_ctrl.sim.step_view import FIELDS, StepView

InsertFunction: TypeAlias = Callable[[StepView], Any]
"""Gives None, which changes nothing, or what takes the place of the step's fields: {"force": (N, 3)}; see `CHANGES`."""
Inserts: TypeAlias = Mapping[str, InsertFunction | Sequence[InsertFunction]]
"""Functions by the name of their step; several at one step run in their order."""

_STATE = ("position", "quaternion", "velocity", "rates", "rotors")
_PLANT = ("mass", "inertia", "thrust_curve", "linear_drag")
CHANGES: dict[str, tuple[str, ...]] = {
    "reset": (*_STATE, *_PLANT, "force", "torque"),
    "state": (*_STATE, *_PLANT),
    "actuation": ("action",),
    "wind": ("force", "torque"),
    "dynamics": _STATE,
    "reward": ("reward",),
    "sensors": ("observation",),
    "observation": ("observation",),
}
"""The steps in the order in which they run, and the fields that a function inserted there may change."""
BARE = ("actuation", "wind", "reward", "sensors", "observation")
"""Steps whose functions may give one array instead of a mapping: it is the first of the fields that they may change."""


@dataclass
class _Insertion:
    step: str
    function: InsertFunction
    random: np.random.Generator
    fresh: Flags  # vehicles (N,) whose episode has begun since the last call
    memory: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"insert {self.step}: {_label(self.function)}"

    def call(self, view: StepView) -> Mapping[str, Any]:
        """What the function changes, by field. Raises UsageError."""
        found = call(self.name, self.function, view)
        allowed = CHANGES[self.step]
        if found is None:
            return {}
        if not isinstance(found, Mapping):
            if self.step not in BARE:
                wanted = f"None or a mapping of new {', '.join(allowed)}"
                raise UsageError(f"{self.name}: found {type(found).__name__}, wanted {wanted}")
            return {allowed[0]: found}
        for key in found:
            if key not in allowed:
                raise UsageError(f"{self.name}: found {key!r}, wanted among {', '.join(allowed)}")
        return found

    def checked(self, key: str, values: Any, shape: tuple[int, ...], counts: Flags) -> Floats:
        """The values as float32. Raises UsageError where they have another shape, or in a vehicle that counts no number."""
        wanted = f"wanted finite numbers of shape {shape}: {FIELDS[key].unit}"

        def refuse(found: object) -> UsageError:
            return UsageError(f"{self.name}: {key}: found {found}, {wanted}")

        try:
            given = np.asarray(values)
        except ValueError as error:
            raise refuse(f"{type(values).__name__} ({error})") from None
        if given.dtype.kind not in "fiu":
            raise refuse(f"type {given.dtype}")
        if given.shape != shape:
            raise refuse(f"shape {given.shape}")
        with np.errstate(over="ignore"):
            new: Floats = given.astype(np.float32)
        rows = new.reshape(len(new), -1)
        bad = ~np.isfinite(rows).all(1)
        if key in ("mass", "inertia"):
            bad |= ~(rows > 0).all(1)
        if key == "quaternion":
            bad |= ~(abs(np.linalg.norm(rows, axis=1) - 1) < 1e-3)
        if (bad & counts).any():
            n = int(np.flatnonzero(bad & counts)[0])
            raise refuse(f"{rows[n].tolist()} in vehicle {n}")
        return new


class Pipeline:
    """The functions that are inserted into the control steps of N vehicles in one buffer, and what they remember."""

    def __init__(self, buffer: Floats, vehicles: int, airframe: Airframe, rate_hz: float) -> None:
        self._buffer, self._vehicles, self._airframe, self._rate_hz = buffer, vehicles, airframe, rate_hz
        self._inserted: dict[str, list[_Insertion]] = {}
        self._begun = np.zeros(vehicles, np.bool_)
        self._steady: Floats | None = None
        self.acted: Floats | None = None
        """Force and torque (N, 6) that acted in the last step, as `Environment.disturbance`; None: no wind is inserted."""

    def insert(self, step: str, function: InsertFunction, seed: int) -> None:
        """Add a function at the end of those of the step. Raises UsageError."""
        require_step(step, "insert")
        if not callable(function) or isinstance(function, type):
            raise UsageError(f"insert {step}: found {function!r}, wanted a function of a StepView, or an object called so")
        try:
            inspect.signature(function).bind(None)
        except TypeError as error:
            raise UsageError(
                f"insert {step}: {_label(function)}: {error}; wanted a function of one argument, the StepView"
            ) from None
        except ValueError:  # a builtin that tells no signature
            pass
        added = _Insertion(step, function, np.random.default_rng(0), np.ones(self._vehicles, np.bool_))
        self._inserted.setdefault(step, []).append(added)
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """Forget everything, and draw from here on what follows from the seed."""
        every = [one for step in CHANGES for one in self._inserted.get(step, ())]
        for number, one in enumerate(every):
            one.memory.clear()
            one.random = np.random.default_rng([seed, 6, number])

    def has(self, step: str) -> bool:
        """Whether something is inserted there."""
        return step in self._inserted

    def begin(self, who: Flags, observation: Floats, hover: Number, extension: BatteryConstants | None) -> None:
        """Episodes have begun where `who` (N,): `reset`, which changes their first observations (N, 18) in place."""
        self._begun = who.copy()
        for inserted in self._inserted.values():
            for one in inserted:
                one.fresh = one.fresh | who
        if self.acted is not None:
            self.acted = np.where(who[:, None], self._disturbance(), self.acted)
        if not (self.has("reset") and self._begun.any()):
            return
        self.run("reset")
        rate_loop.begin_some(self._buffer, self._begun)
        if extension is not None:
            dynamics.begin_extension_some(self._buffer, self._begun, hover, extension)
        seen = np.empty_like(observation)
        episode_kernels.observe(self._buffer, seen.ravel(), self._vehicles)
        observation[self._begun] = seen[self._begun]

    def before(self, actions: Floats, ended: Flags) -> Floats:
        """`state`, `actuation` and `wind`: the actions (N, 4) that take effect. ended (N,): whose episode is over."""
        self._begun = ended.copy()
        self.run("state")
        if self.has("actuation"):
            actions = self.run("actuation", np.clip(actions, np.float32(-1), np.float32(1)))
        if self.has("wind"):
            self._steady = self._disturbance()
            self.run("wind")
        return actions

    def rewarded(self, reward: Floats, flight: dict[str, Floats]) -> Floats:
        """`reward`: the rewards (N,), which also change the returns of the episodes and of those that ended (flight)."""
        if not self.has("reward"):
            return reward
        changed = self.run("reward", reward)
        more = changed - reward
        dynamics.write(self._buffer, SUMS, dynamics.read(self._buffer, SUMS, self._vehicles) + more)
        if flight:
            flight["r"] += np.where(dynamics.read(self._buffer, ENDED, self._vehicles) > 0, more, 0)
        return changed

    def after(self) -> None:
        """The wind of this step ends; the steady force and torque, which new episodes have drawn anew, stay."""
        if self._steady is not None:
            self.acted = self._disturbance()
            steady = np.where(self._begun[:, None], self.acted, self._steady)
            dynamics.write(self._buffer, DISTURBANCE_ROWS, steady)
            self._steady = None

    def run(self, step: str, value: Floats = np.empty(0, np.float32)) -> Floats:
        """Call what is inserted at a step. value: its action, reward or observation, which is given back as it is then."""
        for one in self._inserted.get(step, ()):
            given = {CHANGES[step][0]: value} if len(value) else {}
            view = self._view(one, given)
            one.fresh = np.zeros(self._vehicles, np.bool_)
            counts = self._counts(step)
            for key, values in one.call(view).items():
                old = value if key in given else FIELDS[key].read(self._buffer, self._vehicles)
                new = one.checked(key, values, old.shape, counts)
                new = np.where(counts.reshape(-1, *[1] * (old.ndim - 1)), new, old)
                if key in given:
                    value = new
                else:
                    dynamics.write(self._buffer, FIELDS[key].rows, new)
        return value

    def _disturbance(self) -> Floats:
        return dynamics.read(self._buffer, DISTURBANCE_ROWS, self._vehicles)

    def _view(self, one: _Insertion, given: dict[str, Floats]) -> StepView:
        steps = dynamics.read(self._buffer, STEP, self._vehicles).astype(float) + (one.step == "dynamics")
        begun = self._begun.copy() if one.step == "reset" else one.fresh
        return StepView(
            one.step, self._airframe, 1 / self._rate_hz, steps / self._rate_hz, begun, ~self._begun, one.random, one.memory,
            self._buffer, given,
        )  # fmt: skip

    def _counts(self, step: str) -> Flags:
        """Vehicles (N,) for which counts what a function gives at the step."""
        if step in ("sensors", "observation"):
            return np.ones(self._vehicles, np.bool_)
        return self._begun if step == "reset" else ~self._begun


def require_step(step: object, key: str) -> None:
    """Raise UsageError for a step that the pipeline does not have. key: what errors call it."""
    if step not in CHANGES:
        raise UsageError(f"{key}: found step {step!r}, wanted one of {', '.join(CHANGES)}{meant(step, CHANGES)}")


def listed(inserts: Inserts | None) -> list[tuple[str, InsertFunction]]:
    """Pairs of step and function, in order."""
    pairs: list[tuple[str, InsertFunction]] = []
    if not isinstance(inserts or {}, Mapping):
        raise UsageError(f"inserts: found {inserts!r}, wanted a mapping of steps to functions")
    for step, functions in (inserts or {}).items():
        several = functions if isinstance(functions, Sequence) else (functions,)
        pairs += [(step, function) for function in several]
    return pairs


def require_no_reward(inserts: Inserts | None, who: str) -> None:
    """Raise UsageError where a function would change a reward that nobody counts. who: what scores."""
    if inserts and "reward" in inserts:
        raise UsageError(f"insert reward: found with {who}, which scores a fixed reward, wanted none at this step")


def _label(function: Any) -> str:
    if isinstance(function, functools.partial):
        return _label(function.func)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', '?')}:{name}"
