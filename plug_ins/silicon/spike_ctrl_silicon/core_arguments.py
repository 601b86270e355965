"""Launch arguments of a flight: policy:=fpga takes the actions from the core, on a board or in Verilator."""

import atexit
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.actions import ExecuteProcess, LogInfo

from spike_ctrl._files import ranges
from spike_ctrl._files.ranges import setting, within
from spike_ctrl.launching import declared_arguments
from spike_ctrl.launching.declared_arguments import of_launch, typed


@dataclass(frozen=True)
class Core:
    policy: str = setting(
        "numba",
        "What steps the policy: numba on this computer, or the FPGA core in integers.",
        choices=("numba", "fpga"),
    )
    port: str = setting("", "With policy:=fpga: serial port of a board; empty: the core in Verilator, behind a terminal.")
    flips: float = within(0.0, 0, 1, "With policy:=fpga and no port: share of bytes on the line with a flipped bit.")


CORE = of_launch(Core)


def declarations() -> list[Any]:
    """The arguments."""
    return declared_arguments.declarations(CORE)


def check(context: Any) -> None:
    """Refuse what the node would refuse. Raises ValueError."""
    from spike_ctrl.policy import checkpoint
    from spike_ctrl_silicon import flight_runtime

    values = context.launch_configurations
    ranges.require(typed(CORE, context), ranges.bounds(Core))
    if values["policy"] != "fpga":
        if values["port"] or float(values["flips"]):
            raise ValueError("port, flips: found them with policy:=numba, wanted them only with policy:=fpga")
        return
    if values["port"] and float(values["flips"]):
        raise ValueError(f"flips: found {values['flips']} on a board, wanted it only without port")
    if values["model"]:
        flight_runtime.model(checkpoint.load(values["model"]))
    elif not values["port"]:
        raise ValueError("model: found none, wanted the one that the simulated core is made of")


def parameters(context: Any) -> dict[str, dict[str, Any]]:
    """The policy node takes its actions from the port."""
    values = context.launch_configurations
    return {"snn_policy": {"runtime": "fpga", "hardware": values["port"]}} if values["policy"] == "fpga" else {}


def first(context: Any) -> list[Any]:
    """The core in Verilator, where no board is given; its program is built where this network's is not kept."""
    values = context.launch_configurations
    if values["policy"] != "fpga" or values["port"]:
        return []
    from spike_ctrl.policy import checkpoint
    from spike_ctrl_silicon import flight_runtime, simulated_line

    folder = tempfile.mkdtemp(prefix="spike_ctrl_core_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    values["port"] = str(Path(folder) / "core")
    network = flight_runtime.model(checkpoint.load(values["model"])).network
    faults = simulated_line.LineFaults(
        float(values["flips"]), int(values.get("seed", 0)), watchdog=values.get("paced") != "true"
    )
    print("building the core with Verilator, unless it is kept from a flight before ...", flush=True)
    return [
        ExecuteProcess(  # it is no node: it takes no --ros-args
            cmd=simulated_line.command(network, Path(values["port"]), faults),
            name="core",
            output="screen",
            sigterm_timeout="60",  # s: a landing takes time
            on_exit=when_ended,
        )
    ]


def when_ended(event: Any, context: Any) -> list[Any]:
    """A core that ends is a fault of the policy: the supervisor goes on without it."""
    return [] if context.is_shutdown else [LogInfo(msg="the simulated core has ended: no policy answers any more")]
