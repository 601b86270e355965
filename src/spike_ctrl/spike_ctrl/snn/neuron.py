"""What kind of LIF neuron a network has. Free of torch, so that the runtime and checkpoints can name it too."""

import enum
from dataclasses import dataclass


class Reset(str, enum.Enum):
    """What a spike does to the membrane one step later: SOFT subtracts the threshold, HARD forgets the membrane."""

    SOFT = "soft"
    HARD = "hard"


@dataclass(frozen=True)
class Neuron:
    """Reset mechanism, and whether gradients flow through the reset (`detach_reset=False`) or not."""

    reset: Reset = Reset.SOFT
    detach_reset: bool = False

    def __post_init__(self):
        try:
            object.__setattr__(self, "reset", Reset(self.reset))
        except ValueError:
            wanted = ", ".join(reset.value for reset in Reset)
            raise ValueError(f"neuron.reset: found {self.reset!r}, wanted one of {wanted}") from None
        if not isinstance(self.detach_reset, bool):
            raise ValueError(f"neuron.detach_reset: found {self.detach_reset!r}, wanted true or false")


PAPER = Neuron()
"""Soft reset with gradients through it, as in arXiv 2510.24461."""
