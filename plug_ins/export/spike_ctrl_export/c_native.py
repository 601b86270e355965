"""Compiles exported C for this computer: runs its self-test, times it, and evaluates it as a policy."""

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy.numpy_runtime import PolicyState
from spike_ctrl_export import programs
from spike_ctrl_export.c_source import PREFIX, CSource, files, renamed

FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-O2")
CORTEX_M4 = ("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard")

# One step of `count` vehicles (stride 1), or `count` steps of one vehicle (stride 0).
_DRIVER = """
#include "policy.h"

int policy_run(policy_state *state, int stride, const float *observation, float *action, int count)
{
    int refused = 0;
    for (int n = 0; n < count; n++)
        refused += policy_step(state + n * stride, observation + n * POLICY_INPUTS, action + n * POLICY_OUTPUTS);
    return refused;
}
"""


def compiler() -> str | None:
    """Path of the C compiler of this computer; None if there is none."""
    return next(filter(None, map(shutil.which, ("gcc", "cc", "clang"))), None)


def self_test(folder: Path, prefix: str = PREFIX) -> str:
    """Compile and run the self-test in a folder. Gives its output. Raises UsageError if it fails."""
    _, code, check = files(prefix)
    with tempfile.TemporaryDirectory() as place:
        program = Path(place) / "self_test"
        _compile([*map(str, (folder / code, folder / check)), "-lm", "-o", str(program)])
        found = subprocess.run([program], capture_output=True, text=True, timeout=60)
    if found.returncode:
        raise UsageError(f"{folder}: {found.stdout.strip() or f'self-test: ended with {found.returncode}'}")
    return found.stdout.strip()


def flash_bytes(folder: Path, prefix: str = PREFIX) -> int | None:
    """Bytes of the policy's code and constants on a Cortex-M4; None if its compiler (gcc-arm-none-eabi) is not installed."""
    if not all(map(shutil.which, (CORTEX_M4[0], "arm-none-eabi-size"))):
        return None
    with tempfile.TemporaryDirectory() as place:
        built = Path(place) / "policy.o"
        _compile(["-c", str(folder / files(prefix)[1]), "-o", str(built)], CORTEX_M4)
        found = subprocess.run(["arm-none-eabi-size", built], capture_output=True, text=True, check=True, timeout=60)
    text, data, *_ = found.stdout.splitlines()[1].split()
    return int(text) + int(data)


class NativePolicy:
    """The C in a folder, with the interface of `SpikingPolicy`. States are [N] or [N, B].

    A step neither changes nor reuses its arguments and results. If an observation is not finite, the action is 0 and the
    state stays the same. Raises UsageError if the C does not compile.
    """

    def __init__(self, folder: Path, source: CSource):
        self.twin, self._type = source.twin, source.state_type
        self.sizes = source.sizes
        with tempfile.TemporaryDirectory() as place:
            driver, library = Path(place) / "driver.c", Path(place) / "policy.so"
            driver.write_text(renamed(_DRIVER, source.prefix))
            code = folder / files(source.prefix)[1]
            _compile(["-shared", "-fPIC", "-I", str(folder), str(code), str(driver), "-lm", "-o", str(library)])
            self._run = getattr(ctypes.CDLL(str(library)), f"{source.prefix}_run")

    def initial_state(self, batch: int | None = None) -> PolicyState:
        """Zero membranes and no spikes."""
        shape = sum(self.sizes[1:-1]) if batch is None else (sum(self.sizes[1:-1]), batch)
        return self._state(np.zeros(shape, self._type))

    def step(self, observation: np.ndarray, state: PolicyState) -> tuple[np.ndarray, PolicyState]:
        """One control step: observation [in] or [B, in] to action [out] or [B, out], and the new state."""
        membrane = np.array(state.membrane.T, self._type, order="C", ndmin=2)
        action = self._call(membrane, 1, observation.reshape(-1, self.sizes[0]))
        if observation.ndim == 1:
            return action[0], self._state(membrane[0])
        return action, self._state(np.ascontiguousarray(membrane.T))

    def fly(self, observations: np.ndarray, state: PolicyState) -> tuple[np.ndarray, PolicyState]:
        """Step one vehicle through observations [steps, in]. Gives actions [steps, out] and the last state."""
        membrane = np.array(state.membrane, self._type)
        return self._call(membrane, 0, observations), self._state(membrane)

    def spike_rates(self, state: PolicyState) -> tuple[float, ...]:
        """Share of the neurons of each layer that spiked in the last step, over the batch."""
        return self.twin.spike_rates(state)

    def seconds(self, observations: np.ndarray, clock: Callable[[], float], rounds: int = 20) -> float:
        """Seconds per step on this computer: the median over `rounds` flights through observations [steps, in]."""
        took = []
        for _ in range(rounds):
            begun = clock()
            self.fly(observations, self.initial_state())
            took.append((clock() - begun) / len(observations))
        return float(np.median(took))

    def _state(self, membrane: np.ndarray) -> PolicyState:
        theta = self.twin.theta
        return PolicyState(membrane, (membrane > (theta if membrane.ndim == 1 else theta[:, None])).astype(membrane.dtype))

    def _call(self, membrane: np.ndarray, stride: int, observation: np.ndarray) -> np.ndarray:
        observation = np.ascontiguousarray(observation, np.float32)
        action = np.zeros((len(observation), self.sizes[-1]), np.float32)
        place = [ctypes.c_void_p(array.ctypes.data) for array in (membrane, observation, action)]
        self._run(place[0], ctypes.c_int(stride), place[1], place[2], ctypes.c_int(len(observation)))
        return action


def _compile(arguments: list[str], command: tuple[str, ...] = ()) -> None:
    command = command or (compiler() or "",)
    if not command[0]:
        raise UsageError("C compiler: found none, wanted gcc, cc or clang: apt-get install gcc")
    programs.run([*command, *FLAGS, *arguments], timeout=300)
