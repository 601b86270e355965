"""The voltage of the battery as the last number of an observation, for policies that were trained with it.

The 18 numbers of a state are followed by (V - middle) / span. Whoever steps such a policy knows V (volts) apart from the
state: `complete` puts it in its place.
"""

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.ranges import setting
from spike_ctrl.airframe import Airframe
from spike_ctrl.policy.policy_protocol import Policy

LAYOUT = "setpoint_frame_18_voltage"
"""Name of this layout of observations in a contract."""


@dataclass(frozen=True)
class VoltageInput:
    """A policy sees the voltage V as (V - middle) / span."""

    middle: float = setting(description="Voltage that it sees as 0.", unit="V")
    span: float = setting(description="Unit that it sees.", unit="V", low=sys.float_info.min, wanted="more than 0")

    def seen(self, voltage: Any) -> NDArray[np.float32]:
        """What the policy sees, float32, of voltages (V) of any shape."""
        found: NDArray[np.float32] = (np.asarray(voltage, np.float32) - np.float32(self.middle)) / np.float32(self.span)
        return found


def of_airframe(airframe: Airframe) -> VoltageInput:
    """Around the battery's nominal voltage, in units of what it loses from full to empty. Raises UsageError."""
    if (battery := airframe.battery) is None:
        raise UsageError(f"found airframe {airframe.name} without a battery, wanted one whose voltage can be seen")
    return VoltageInput(battery.nominal, battery.full - battery.empty)


def of_policy(policy: Policy) -> VoltageInput | None:
    """How a policy sees the voltage; None: it does not."""
    return getattr(policy, "voltage", None)


def complete_of(policy: Policy, observation: NDArray[Any], environment: Any) -> NDArray[Any]:
    """`complete` with what an environment measures; None: the vehicles are simulated by others, who tell no voltage."""
    blind = of_policy(policy) is None or environment is None
    return complete(policy, observation, None if blind else environment.voltage)


def complete(policy: Policy, observation: NDArray[Any], voltage: Any = None) -> NDArray[Any]:
    """The observation that the policy takes, [in] or [N, in], from that of a state, [18] or [N, 18].

    voltage: of the vehicle, or (N,), V; None: unknown. Raises UsageError where the policy sees it and it is unknown.
    """
    if (seen := of_policy(policy)) is None:
        return observation
    if voltage is None or not np.isfinite(volts := np.asarray(voltage, np.float32)).all():
        raise UsageError("voltage: found none, wanted the battery's: the policy's observation ends with it")
    return np.concatenate([observation, seen.seen(volts).reshape(*observation.shape[:-1], 1)], axis=-1)
