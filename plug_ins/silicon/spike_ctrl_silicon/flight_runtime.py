"""The runtime fpga of the policy node: the actions come from the core at a serial port."""

import time
from pathlib import Path

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy import self_test
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl_silicon.integer_network import IntegerRuntime
from spike_ctrl_silicon.quantise import quantised
from spike_ctrl_silicon.serial_policy import FlownLine, SerialPolicy

PATIENCE = 5.0  # s, for the port to be there
TIMEOUT = 0.03  # s, for a reply


def model(found: Checkpoint) -> IntegerRuntime:
    """What the core computes, on this computer. Raises UsageError for a network that it does not have."""
    return IntegerRuntime(quantised(found))


def policy(found: Checkpoint, where: str) -> FlownLine:
    """The core at a serial port, after the checkpoint's self-test over the line. Raises UsageError.

    A core holds one network, so a port is refused while it is in use, by this process too.
    """
    if not where:
        raise UsageError("parameter 'hardware': found nothing, wanted the serial port of the core")
    end = time.monotonic() + PATIENCE
    while not Path(where).exists() and time.monotonic() < end:
        time.sleep(0.05)
    runtime = model(found)
    given = runtime.inputs, runtime.outputs
    with SerialPolicy(Path(where), *given) as line:
        differing = (self_test.answers(line, found.self_test) != self_test.answers(runtime, found.self_test)).any(axis=1)
    if differing.any():
        step = int(np.argmax(differing))
        raise UsageError(f"{where}: self-test: found other actions from step {step} on: the core holds another network")
    return FlownLine(Path(where), *given, timeout=TIMEOUT, voltage=runtime.voltage)
