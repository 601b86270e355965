"""Counts the instructions of the longest step of an exported policy, on QEMU's Cortex-M4.

The longest step is the one in which every neuron spikes: every weight is added, and no path is longer. The thresholds of the
C are lowered until that is so, which the program checks; its code stays the same. QEMU's clock advances by one nanosecond
for each instruction, and a loop of known length tells how many of them are a tick of the processor's timer.
"""

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from spike_ctrl._files.errors import UsageError
from spike_ctrl_export import programs
from spike_ctrl_export.c_native import CORTEX_M4
from spike_ctrl_export.c_source import CSource

EMULATOR = ("qemu-system-arm", "-M", "mps2-an386", "-nographic", "-semihosting", "-icount", "shift=0", "-kernel")
PERIOD_INSTRUCTIONS = 1_680_000
"""Of a control period of 10 ms at 168 MHz, as on a Crazyflie, were each one cycle."""
_THRESHOLD = re.compile(r"(theta_\d+\[\d+\] = \{)[^}]*(\})")
_LOWEST = {"float": "-1e20f", "int32_t": "-1000000000"}
_STEPS = 50
_DRIVER = """
#include <stdio.h>
#include "policy.c"

#define CONTROL (*(volatile unsigned *)0xE000E010)
#define RELOAD (*(volatile unsigned *)0xE000E014)
#define NOW (*(volatile unsigned *)0xE000E018)
#define SINCE(BEGUN) ((BEGUN - NOW) & 0xFFFFFFu)

int main(void)
{
    static policy_state state;
    static float observation[POLICY_INPUTS], action[POLICY_OUTPUTS];
    unsigned silent = 0, known = 1000000;
    RELOAD = 0xFFFFFF;
    NOW = 0;
    CONTROL = 5;
    const unsigned calibrating = NOW;
    __asm__ volatile("1: subs %0, #1\\n bne 1b" : "+r"(known) : : "cc");
    const unsigned two_million = SINCE(calibrating);
    for (int i = 0; i < POLICY_INPUTS; i++)
        observation[i] = 1.0f;
    policy_reset(&state);
    policy_step(&state, observation, action);
    const unsigned begun = NOW;
    for (int n = 0; n < STEPS; n++)
        policy_step(&state, observation, action);
    const unsigned took = SINCE(begun);
@CHECKS@
    printf("%u %u %u\\n", two_million, took, silent);
    return 0;
}
"""


def installed() -> bool:
    """Whether the compiler and the emulator of the Cortex-M4 are there."""
    return all(map(shutil.which, (CORTEX_M4[0], EMULATOR[0])))


def longest_step(source: CSource, sizes: tuple[int, ...]) -> int:
    """Instructions of the longest step. sizes: inputs, widths of the hidden layers, outputs.

    Raises UsageError where it cannot be built or run, or a neuron did not spike.
    """
    code = source.files["policy.c"]
    kind = "float" if "static const float theta_0" in code else "int32_t"

    def lowered(found: re.Match[str]) -> str:
        count = int(found[1].partition("[")[2].partition("]")[0])
        return found[1] + ", ".join([_LOWEST[kind]] * count) + found[2]

    made = {
        **source.files,
        "policy.c": _THRESHOLD.sub(lowered, code),
        "count.c": _DRIVER.replace("@CHECKS@", _checks(sizes)),
    }
    with tempfile.TemporaryDirectory() as place:
        text = _run(Path(place), made)
    try:
        two_million, took, silent = map(int, text.split())
    except ValueError:
        raise UsageError(f"qemu-system-arm: found '{text.strip()[:80]}', wanted three numbers") from None
    if silent:
        raise UsageError(f"longest step: {silent} neurons did not spike, wanted all to")
    return round(took * 2_000_000 / two_million / _STEPS)


def _checks(sizes: tuple[int, ...]) -> str:
    text, start = "", 0
    for index, width in enumerate(sizes[1:-1]):
        text += (
            f"    for (int n = 0; n < {width}; n++)\n        silent += !(state.membrane[{start} + n] > theta_{index}[n]);\n"
        )
        start += width
    return text


def _run(folder: Path, made: Mapping[str, str]) -> str:
    for name, text in made.items():
        (folder / name).write_text(text)
    program, board = folder / "count.elf", Path(__file__).parent / "cortex_m4"
    build = [*CORTEX_M4, "-std=gnu99", "-O2", f"-DSTEPS={_STEPS}", "--specs=rdimon.specs", "-T", str(board / "an386.ld")]
    build += [str(board / "startup.c"), str(folder / "count.c"), "-lm", "-o", str(program)]
    programs.run(build, timeout=120)
    return programs.run([*EMULATOR, str(program)], timeout=120)
