"""Parameters of the adapter. Nothing slow is imported here: a launch file reads them."""

from dataclasses import dataclass

from spike_ctrl._files.ranges import setting, within


@dataclass(frozen=True)
class AdapterParameters:
    airframe: str = setting("sih_quadx", "The vehicle as the policy was made for it.")
    model: str = setting("models/sih_quadx.safetensors", "Checkpoint that flies first.")
    seed: int = within(0, 0, 2**31, "Seed of everything random in a tuning.")
    from_transitions: bool = setting(
        False, "Learn from the flight's transitions where the policy stays away and no model explains it."
    )
