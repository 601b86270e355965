"""From a checkpoint, in a file or a message, to a policy that may fly: allow-list, checks, runtime, rehearsal."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from spike_ctrl_msgs.msg import Checkpoint

from spike_ctrl import airframe, plug_ins
from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.flight import rehearsal
from spike_ctrl.policy import allow_list, checkpoint, voltage_input
from spike_ctrl.policy.allow_list import AllowedModels
from spike_ctrl.policy.checkpoint import CheckpointError
from spike_ctrl.policy.pilot import Flown
from spike_ctrl.sim.observation import LAYOUT, SIZE
from spike_ctrl.snn.weight_shapes import weight_shapes
from spike_ctrl_policy.policy_parameters import PolicyParameters
from spike_ctrl_ros.convert import fill

ACTIONS = 4
OURS = ("numba", "numpy")
LET_CONTROL_RUN = 1e-3  # s, after each simulated step: a new checkpoint is rehearsed beside the flight


@dataclass(frozen=True)
class Loader:
    """compiled: step one vehicle by numba; a network of another kind than ours steps in onnxruntime anyway.

    expect: what a contract must say. realtime: states come at the contract's rate. allowed: the files that may fly, None for
    any. rehearsed: the airframe that a policy must first fly in simulation, None where it need not. runtime: a module of the
    point `policy_runtimes` that steps it on some hardware; None: this computer does. course: the trajectory of the flight.
    """

    compiled: bool
    expect: Mapping[str, str]
    realtime: bool
    allowed: AllowedModels | None
    rehearsed: Airframe | None
    runtime: Any = None
    hardware: str = ""
    course: str = ""

    def get_ready(self) -> None:
        """Do what only the first policy of a kind needs: to compile its step, to load onnxruntime.

        Other threads wait for that, 20 ms and 17 ms for onnxruntime: too long beside a policy in command.
        """
        if self.compiled:
            from spike_ctrl.policy.compiled_runtime import CompiledPolicy

            CompiledPolicy(
                {name: np.ones(shape, np.float32) for name, shape in weight_shapes((SIZE, 1, 1, ACTIONS)).items()}
            )
        checkpoint.warm_up()

    def message(self, message: Checkpoint) -> Flown:
        """The checkpoint in a message. Raises CheckpointError, or UsageError of a runtime."""
        data, name = bytes(message.data), message.name
        if (digest := hashlib.sha256(data).hexdigest()) != message.sha256:
            raise CheckpointError(f"{name}: sha256: found {digest}, wanted {message.sha256}")
        if self.allowed is not None:
            self.allowed.require(data, name)
        found = checkpoint.loads(data, expect=self.expect, name=name)
        contract = found.manifest.contract
        if self.runtime is not None:
            policy = self.runtime.model(found)  # computes here what the hardware computes, for the rehearsal
        else:
            policy = found.compiled() if self.compiled else found.ordered() if self.realtime else found.policy
        policy = found.seeing(policy, self.course)
        inputs = SIZE + (contract.voltage is not None)
        if (policy.inputs, policy.outputs) != (inputs, ACTIONS):
            sizes = f"found {policy.inputs} and {policy.outputs}, wanted {inputs} and {ACTIONS}"
            raise CheckpointError(f"{name}: inputs and outputs: {sizes}")
        if self.rehearsed is not None and (
            why := (contract.sight or rehearsal).rehearse(
                policy, self.rehearsed, contract.rate_hz, lambda: time.sleep(LET_CONTROL_RUN)
            )
        ):
            raise CheckpointError(f"{name}: {why}")
        if self.runtime is not None:
            policy = self.runtime.policy(found, self.hardware)
        return Flown(name, policy, message.epoch, 1 / contract.rate_hz if self.realtime else 0.0)


def loader_for(p: PolicyParameters, realtime: bool) -> Loader:
    """The loader of a node with these parameters. Raises UsageError."""
    vehicle = airframe.load(p.airframe)
    layout = layout_of(p.model) if realtime and p.model else LAYOUT
    expect = {"airframe_hash": vehicle.hash, "observation": layout, "action": vehicle.action_layout}
    runtime = None if p.runtime in OURS else plug_ins.load("policy_runtimes", p.runtime, "parameter 'runtime'")
    if fast := realtime and p.runtime == "numba":
        try:
            import spike_ctrl.policy.compiled_runtime  # noqa: F401
        except ImportError as error:
            found = f"found numba, which is not installed ({error}), wanted numpy"
            raise UsageError(f"parameter 'runtime': {found}") from None
    rehearsed = vehicle if p.flight else None
    return Loader(fast, expect, realtime, listed(p.allowed_models, p.model), rehearsed, runtime, p.hardware, p.trajectory)


def of_file(path: str) -> Checkpoint:
    """A file as a message of epoch 0, unchecked. Raises CheckpointError where it cannot be read."""
    data = checkpoint.read(path)
    return fill(Checkpoint(), name=path, sha256=hashlib.sha256(data).hexdigest(), data=data)


def layout_of(model: str) -> str:
    """The layout of observations that a flight with this model has: its own where it is one that a flight can show."""
    try:
        found = checkpoint.about(checkpoint.read(model), model).contract
    except CheckpointError:
        return LAYOUT  # configure says what is wrong with it
    return found.observation if found.observation == voltage_input.LAYOUT or found.sight else LAYOUT


def listed(path: str, model: str) -> AllowedModels | None:
    """The list of files that may fly, if there is one. Raises UsageError, also where the model is not in it."""
    if not path:
        return None
    found = allow_list.read(path)
    if model:
        found.require(checkpoint.read(model), model)
    return found


def take(waiting: Mapping[int, Flown], epoch: int) -> tuple[Flown | None, dict[int, Flown]]:
    """The checkpoint of the epoch that a state asks for, or the newest where it asks for none (0), and those after it.

    waiting: those that have come, by epoch. None where it has not come; then all go on waiting.
    """
    wanted = epoch or max(waiting, default=0)
    if wanted not in waiting:
        return None, dict(waiting)
    return waiting[wanted], {later: kept for later, kept in waiting.items() if later > wanted}
