"""torch's Adam without torch's compiler, which its first use would load: 2 s of a processor for each training."""

import inspect
from typing import Any

import torch

_step = inspect.unwrap(torch.optim.Adam.step)

# These ask the compiler to leave them alone, which loads it, unless they find the answer on the function itself.
for _name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
    _plain = inspect.unwrap(getattr(torch.optim.Optimizer, _name))
    _plain.__dict__.setdefault("__dynamo_disable", _plain)


class Adam(torch.optim.Adam):
    """The same steps, to the bit."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step down the gradients; see torch.optim.Adam."""
        return _step(self, closure)
