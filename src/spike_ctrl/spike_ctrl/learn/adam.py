"""torch's Adam without torch's compiler, which its first use would load: 2 s of a processor for each training."""

import inspect

import torch

# These ask the compiler to leave them alone, which loads it, unless they find the answer on the function itself.
for _name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
    _plain = inspect.unwrap(getattr(torch.optim.Optimizer, _name))
    _plain.__dict__.setdefault("__dynamo_disable", _plain)


class Adam(torch.optim.Adam):
    """The same steps, to the bit."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))
