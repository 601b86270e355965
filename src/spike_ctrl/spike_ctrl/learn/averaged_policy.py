"""The averaged policy: what is evaluated and shipped, while the policy that learns goes on jittering."""

import copy

from torch import nn

from spike_ctrl.snn.network import average_

FAST_UPDATES = 200  # until then the average forgets the untrained network faster
FAST_RATE = 0.05


class AveragedNetwork:
    """Exponential average of a network's parameters, moved by `rate` per update; 1 is the network itself."""

    def __init__(self, network: nn.Module, rate: float):
        self.network, self.rate, self.updates = copy.deepcopy(network).requires_grad_(False), rate, 0

    def follow(self, source: nn.Module) -> None:
        """One update of the source has been made."""
        self.updates += 1
        early = self.updates < FAST_UPDATES
        average_(self.network, source, max(self.rate, FAST_RATE) if early else self.rate)
