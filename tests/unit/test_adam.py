"""The optimiser of all trainings is torch's Adam to the bit, and does not load torch's compiler."""

import subprocess
import sys

PROGRAM = """
import sys, torch
from spike_ctrl.learn.adam import Adam

def trained(kind):
    torch.manual_seed(0)
    value = torch.nn.Parameter(torch.randn(40))
    optimiser = kind([value], lr=0.1, foreach=True)
    for _ in range(5):
        optimiser.zero_grad()
        (value**2).sum().backward()
        optimiser.step()
    optimiser.load_state_dict(optimiser.state_dict())
    return value.detach()

ours = trained(Adam)
loaded = "torch._dynamo" in sys.modules
print(loaded, torch.equal(ours, trained(torch.optim.Adam)))
"""


def test_it_makes_the_same_steps_and_leaves_the_compiler_alone():
    shown = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert shown.stdout == "False True\n", shown.stderr
