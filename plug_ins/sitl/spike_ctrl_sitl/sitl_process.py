"""PX4's software in the loop (SITL) as a process: program, folder and environment. Pure.

sih: PX4 with its built-in dynamics. gazebo: PX4 in Gazebo (Harmonic), with our model or its own. hil: PX4 on our dynamics,
which `spike-ctrl vehicle --px4-hil` serves.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from spike_ctrl._files.errors import UsageError
from spike_ctrl_sitl.px4_environment import GAZEBO, speed_factor

BUILDS = {"sih": ("px4_sitl_sih", "px4_sitl_default"), "gazebo": ("px4_sitl_default",), "hil": ("px4_sitl_default",)}
SIH_BOARD = Path("boards/px4/sitl/sih.px4board")  # PX4 has this build since v1.18; it needs no Gazebo
MODELS = {"sih": ("10040", "sihsim_quadx"), "gazebo": ("4001", "gz_x500"), "hil": ("10016", "none_iris")}
KINDS = tuple(MODELS)
# Noise of the sensors in PX4's own simulation. With EKF2's defaults its position estimate wanders by half a metre.
SIH_NOISE = {"EKF2_ACC_NOISE": 1.0, "EKF2_GYR_NOISE": 0.1}
BOOTED = "Startup script returned successfully"
OURS = ("CA_ROTOR*", "SIM_GZ_EC*", "MPC_THR_HOVER", "THR_MDL_FAC")  # what our model sets, and PX4 stores


class Program(NamedTuple):
    """A program to start. environment: variables beside the caller's own. after_boot: what runs when it is up, and why."""

    command: tuple[str, ...]
    environment: dict[str, str]
    folder: Path
    after_boot: tuple[tuple[tuple[str, ...], str], ...] = ()


def px4(
    kind: str,
    folder: Path,
    found: Callable[[Path], bool],
    which: Callable[[str], str | None],
    environment: dict[str, str],
    instance: int = 0,
    speed: float = 1.0,
    option: str = "--px4",
) -> Program:
    """PX4 of that kind, built in `folder`.

    found: whether a file exists. which: the path of a program. environment: the airframe's variables. speed: factor of the
    simulation's time. option: with which the user names the folder. Raises UsageError where PX4 has not been built, or
    Gazebo is not installed.
    """
    binaries = [folder / "build" / build / "bin" / "px4" for build in BUILDS[kind]]
    binary = next((path for path in binaries if found(path)), None)
    if binary is None:
        target = "px4_sitl_sih" if kind == "sih" and found(folder / SIH_BOARD) else "px4_sitl_default"
        clone = f"git clone --recursive -b v1.17.0 https://github.com/PX4/PX4-Autopilot {folder} && "
        clone = "" if found(folder / "Makefile") else clone
        missing = " or ".join(map(str, binaries))
        raise UsageError(f"{kind}: {missing} is missing: {clone}make -C {folder} {target}; then name it by {option}")
    if speed != 1 and which("bc") is None:
        raise UsageError(f"{kind}: the program bc is missing: apt-get install bc; PX4 computes its speed factor with it")
    if kind == "gazebo" and which("gz") is None:
        raise UsageError("gazebo: the program gz is missing: install Gazebo Harmonic, https://gazebosim.org/docs/harmonic")
    number, model = MODELS[kind]
    given = {"PX4_SYS_AUTOSTART": number, "PX4_SIM_MODEL": model, **speed_factor(speed)}
    given |= {f"PX4_PARAM_{name}": f"{value:g}" for name, value in (GAZEBO if kind == "gazebo" else SIH_NOISE).items()}
    after_boot: list[tuple[tuple[str, ...], str]] = []
    if kind == "gazebo":
        param = (str(binary.parent / "px4-param"), "--instance", str(instance))
        if "PX4_GZ_MODELS" not in environment:
            after_boot += [((*param, "reset", *OURS), "the model is PX4's own")]
        # Airframe 4001 arms only with a ground station, and its script overwrites what the environment sets.
        after_boot += [((*param, "set", "NAV_DLL_ACT", "0"), "there is no ground station")]
    return Program((str(binary), "-d", "-i", str(instance)), given | environment, folder, tuple(after_boot))


def armed_after(line: str, armed: bool) -> bool:
    """Whether the vehicle is armed after a line of PX4's output."""
    found = re.search(r"\[commander\].*?\b(Armed|Disarmed) by", line)
    return armed if found is None else found[1] == "Armed"


def exports(text: str) -> dict[str, str]:
    """The variables of lines such as `export NAME='value'` or `export NAME=value`."""
    return {name: value for name, value in re.findall(r"^export (\w+)='?([^'\n]*)'?$", text, re.M)}
