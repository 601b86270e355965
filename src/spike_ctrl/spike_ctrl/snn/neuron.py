"""The kind of LIF neuron that a network has. The file is free of torch, so that runtimes and checkpoints can use it."""

import enum
from dataclasses import dataclass


class Reset(str, enum.Enum):
    """What a spike does to the membrane one step later: SOFT subtracts the threshold, HARD forgets the membrane."""

    SOFT = "soft"
    HARD = "hard"


@dataclass(frozen=True)
class Neuron:
    """The kind of LIF neuron of a network.

    reset: what a spike does to the membrane. detach_reset: no gradient flows through the reset. recurrent: the last hidden
    layer also receives its own spikes of the step before, by weights [H, in + H].
    """

    reset: Reset = Reset.SOFT
    detach_reset: bool = False
    recurrent: bool = False

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "reset", Reset(self.reset))
        except ValueError:
            wanted = ", ".join(reset.value for reset in Reset)
            raise ValueError(f"neuron.reset: found {self.reset!r}, wanted one of {wanted}") from None
        for name in ("detach_reset", "recurrent"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"neuron.{name}: found {getattr(self, name)!r}, wanted true or false")

    @property
    def words(self) -> str:
        """The kind of neuron in words."""
        return f"reset {self.reset.value}" + (", recurrent" if self.recurrent else "")


PAPER = Neuron()
"""Soft reset with gradients through it, as in arXiv 2510.24461."""
