"""Writes an out-of-tree app for the Crazyflie's firmware: the policy as C beside the stock controller, with a guard.

The C files in crazyflie_app/ are the same for every policy. What depends on it is policy.c, policy.h and snn_config.h. The
structures, units and frames of the firmware are those of its stabilizer_types.h (bitcraze/crazyflie-firmware, 2026.08).
"""

import os
import re
import subprocess
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from string import Template

from spike_ctrl._files.errors import UsageError
from spike_ctrl.airframe import Airframe
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl_export import c_cost, c_source
from spike_ctrl_export.c_native import CORTEX_M4

FIXED = ("snn_adapter.h", "snn_adapter.c", "snn_guard.h", "snn_guard.c", "snn_app.c")
RATE_HZ = 100.0
PROCESSOR = "Cortex-M4"
FLASH_KB, RAM_KB, CORE_COUPLED_KB = 1008, 128, 64
"""Flash behind the boot loader, RAM, and RAM coupled to the core, which is the firmware's, of the STM32F405."""
MEMORIES = {"Flash": 1024 * FLASH_KB, "RAM": 1024 * RAM_KB, "CCM": 1024 * CORE_COUPLED_KB}
"""Bytes of each, by the name that the firmware's make prints."""
_USED = re.compile(r"\|\s*(\d+)/")
PERIOD_SHARE = 0.6  # a step may take so much of the control period in its worst case
LIMITS = {
    "SHADOW_STEPS": ("50", "good answers in a row before the policy takes over"),
    "DEADLINE_MS": ("25", "age of the state that was last answered"),
    "LEAST_HEIGHT": ("0.25f", "m; the policy takes over above it"),
    "LEAST_COSINE": ("0.17f", "of the tilt: 80 degrees"),
    "MOST_RATE": ("20.0f", "rad/s, roll and pitch"),
    "MOST_YAW_RATE": ("20.0f", "rad/s"),
    "MOST_DISTANCE": ("1.5f", "m, from the set-point"),
    "MOST_DISAGREEMENT": (
        "0.35f",
        "of THRUST_MAX: mean force of policy minus that of the PID controller, over half a second",
    ),
}
_GYRO = ("33.0f", "rad/s; the gyro measures up to 2000 deg/s, 34.9 rad/s")
LOST_ROTOR_LIMITS = LIMITS | {
    "LEAST_COSINE": ("-2.0f", "any tilt: without a rotor the vehicle tumbles before it spins, and PID cannot catch it"),
    "MOST_RATE": _GYRO,
    "MOST_YAW_RATE": _GYRO,
    "MOST_DISTANCE": ("4.0f", "m, from the set-point"),
    "MOST_DISAGREEMENT": ("2.0f", "of THRUST_MAX, which is never reached: PID knows nothing of the lost rotor"),
}
"""LIMITS of a policy that flies with a lost rotor."""


def app(found: Checkpoint, name: str, form: c_source.Form, airframe: Airframe) -> dict[str, str]:
    """The files of the app by their paths in its folder.

    name: of the checkpoint, for comments and errors. airframe: the one that the policy was trained for; with a battery, u is
    the motors' duty; without one it stands for a thrust, which the firmware keeps at any voltage. Raises UsageError.
    """
    contract = found.manifest.contract
    if contract.action != "motors":
        raise UsageError(f"{name}: action: found {contract.action!r}, wanted 'motors': the app commands the four motors")
    if contract.rate_hz != RATE_HZ:
        raise UsageError(f"{name}: rate_hz: found {contract.rate_hz:g}, wanted {RATE_HZ:g}")
    written = c_source.source(found, name, form)
    most = worst_seconds(found)
    if most > PERIOD_SHARE / RATE_HZ:
        sizes = "-".join(map(str, contract.sizes))
        wanted = f"wanted at most {1e3 * PERIOD_SHARE / RATE_HZ:.0f} ms"
        raise UsageError(f"{name}: sizes: found {sizes}, whose longest step takes {1e3 * most:.1f} ms there; {wanted}")
    if written.constant_bytes > 1000 * FLASH_KB // 2:
        raise UsageError(f"{name}: found {written.constant_bytes} bytes of weights, wanted half of {FLASH_KB} kB at most")
    duty = getattr(airframe, "battery", None) is not None
    made = {f"src/{file}": _text(file) for file in FIXED} | {
        "src/policy.h": written.files["policy.h"].replace("\n#endif\n", f"\n{_SPIKES_DECLARED}\n#endif\n"),
        "src/policy.c": written.files["policy.c"] + _spikes(contract.sizes),
        "src/snn_config.h": _config(airframe, duty, weights_id(found), _limits(found)),
        "src/Kbuild": _text("src_Kbuild"),
        "README.md": _readme(name, found, form, written, airframe, duty),
    }
    return made | {file: _text(file) for file in ("Kbuild", "Makefile", "app-config")}


def worst_seconds(found: Checkpoint) -> float:
    """Estimated time of the longest step, in which every neuron spikes: every weight is added, no path is longer."""
    contract = found.manifest.contract
    most = c_cost.longest(contract.sizes, contract.neuron.recurrent)
    return most.times(c_cost.PROCESSORS[PROCESSOR]) / c_cost.CLOCK_HZ[PROCESSOR]


def require_firmware(firmware: Path) -> None:
    """Raises UsageError where the folder is no checkout of the Crazyflie's firmware with its submodules."""
    if not (firmware / "tools" / "make" / "oot.mk").is_file():
        raise UsageError(
            f"--firmware: {firmware}: found no tools/make/oot.mk, wanted a checkout of bitcraze/crazyflie-firmware"
        )
    if empty := [path.name for path in sorted(firmware.glob("vendor/*/")) if not any(path.iterdir())]:
        wanted = f"wanted its submodules: git -C {firmware} submodule update --init --recursive"
        raise UsageError(f"--firmware: found nothing in vendor/{', vendor/'.join(empty)}, {wanted}")


def require_compiler(which: Callable[[str], str | None]) -> None:
    """Raises UsageError where the firmware cannot be built. which: the path of a program, None if it is missing."""
    packages = {"make": "make", CORTEX_M4[0]: "gcc-arm-none-eabi"}
    if missing := [program for program in packages if which(program) is None]:
        needed = " ".join(packages[program] for program in missing)
        raise UsageError(f"--firmware: {', '.join(missing)}: not found; apt-get install {needed}, or leave --firmware out")


def build(folder: Path, firmware: Path, show: Callable[[str], None]) -> list[str]:
    """Build the firmware with the app by its own make, and give the lines that tell the sizes.

    firmware: a checkout of bitcraze/crazyflie-firmware with its submodules. show: takes lines of progress.
    Raises UsageError, also where flash or RAM do not suffice.
    """
    require_firmware(firmware)
    base = f"CRAZYFLIE_BASE={firmware.resolve()}"
    # The firmware's make takes the app's folder from PWD, which a shell sets and a started process inherits.
    environment = os.environ | {"PWD": str(folder.resolve())}
    printed = ""
    for target in (["cf2_defconfig"], ["-j2"]):
        show(f"make {' '.join(target)}")
        done = subprocess.run(["make", base, *target], cwd=folder, env=environment, capture_output=True, text=True)
        printed = done.stdout
        if done.returncode:
            wrong = [line for line in (printed + done.stderr).splitlines() if "error:" in line or "***" in line]
            raise UsageError(f"--firmware: make {' '.join(target)}: {(wrong or ['failed'])[0].strip()}")
    return sizes(printed)


def sizes(printed: str) -> list[str]:
    """The lines on flash and RAM of what the firmware's make printed.

    Raises UsageError where they are missing, or where more is used than the processor has.
    """
    found = {name: line for line in printed.splitlines() for name in MEMORIES if line.startswith(name)}
    for name, most in MEMORIES.items():
        used = _USED.search(found.get(name, ""))
        if used is None:
            raise UsageError(f"--firmware: found no size of {name} in what make printed, wanted '{name} | USED/ALL'")
        if int(used[1]) > most:
            raise UsageError(f"--firmware: {name}: found {used[1]} bytes, wanted at most {most}")
    return list(found.values())


def _text(file: str) -> str:
    return (files(__package__) / "crazyflie_app" / file).read_text()


def weights_id(found: Checkpoint) -> int:
    """What the app tells in `snn.weights`: the first 32 bits of the sha256 of the weights."""
    return int(found.manifest.sha256[:8], 16)


def _limits(found: Checkpoint) -> dict[str, tuple[str, str]]:
    return LOST_ROTOR_LIMITS if found.manifest.contract.lost_rotor else LIMITS


def _config(airframe: Airframe, duty: bool, weights: int, limits: dict[str, tuple[str, str]]) -> str:
    defined = "\n".join(f"#define SNN_{key} {value} /* {why} */" for key, (value, why) in limits.items())
    curve = "\n".join(f"#define SNN_CURVE_{i} {value:#.9g}f" for i, value in enumerate(airframe.thrust_curve))
    meaning = "u is the motors' duty" if duty else "u is the normalised rotor speed of the thrust curve"
    return f"""/* Written by spike-ctrl export; do not edit. Airframe {airframe.name}. */
#ifndef SNN_CONFIG_H
#define SNN_CONFIG_H

#define SNN_WEIGHTS 0x{weights:08x}u
#define SNN_MAPS_DUTY {int(duty)} /* {meaning} */

/* Thrust of a rotor, N: curve 0 + curve 1 u + curve 2 u^2. */
{curve}

{defined}

#endif
"""


_SPIKES_DECLARED = """/* How many neurons spiked in the last step. */
int policy_spikes(const policy_state *state);
"""


def _spikes(sizes: tuple[int, ...]) -> str:
    text, start = "", 0
    for index, width in enumerate(sizes[1:-1]):
        text += f"""    for (int n = 0; n < {width}; n++)
        count += state->membrane[{start} + n] > theta_{index}[n];
"""
        start += width
    return f"""
int policy_spikes(const policy_state *state)
{{
    int count = 0;
{text}    return count;
}}
"""


_MEANING = {
    True: """The policy was trained with its battery: its command u is the motors' duty. The app undoes the firmware's
battery compensation. Forces go out as collective thrust and torques, which the firmware does not cut at THRUST_MAX.""",
    False: """The policy was trained without a battery: its command stands for a thrust by the airframe's curve. The
firmware's battery compensation delivers it, up to what the voltage can give.""",
}


def _readme(
    name: str, found: Checkpoint, form: c_source.Form, written: c_source.CSource, airframe: Airframe, duty: bool
) -> str:
    limits = {key: (value.rstrip("f"), why) for key, (value, why) in _limits(found).items()}
    return Template(_text("README.md.in")).substitute(
        name=name,
        airframe=airframe.name,
        network="-".join(map(str, found.manifest.contract.sizes)),
        form=form.words,
        weights=found.manifest.sha256[:12],
        constants=f"{written.constant_bytes / 1000:.0f}",
        state=written.state_bytes,
        flash=FLASH_KB,
        ram=RAM_KB,
        longest=f"{1e3 * worst_seconds(found):.2f}",
        most=f"{1e3 * PERIOD_SHARE / RATE_HZ:.0f}",
        height=limits["LEAST_HEIGHT"][0],
        shadow=limits["SHADOW_STEPS"][0],
        meaning=_MEANING[duty],
        limits="\n".join(f"| `SNN_{key}` | {value} | {why} |" for key, (value, why) in limits.items()),
    )
