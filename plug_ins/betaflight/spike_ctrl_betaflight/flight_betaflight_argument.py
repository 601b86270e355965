"""What `launch flight link:=betaflight` takes where it is not given: the policy that needs no description of the vehicle.

Beside the simulation, whose vehicle waits for the answer to each state, the time of the flight is the vehicle's.
"""

from typing import Any

from spike_ctrl_betaflight import options

POLICY = {"airframe": "any_rates", "model": "models/any_rates.safetensors"}


def prepare(context: Any) -> None:
    """Set airframe and model together, and paced:=true for connection:=sitl; realtime:=true wants the computer's clock."""
    values = context.launch_configurations
    if values.get("link") != "betaflight":
        return
    if not POLICY.keys() & values.keys():
        values.update(POLICY)
    if options.is_sitl(values.get("connection", "")) and values.get("realtime") != "true":
        values.setdefault("paced", "true")
