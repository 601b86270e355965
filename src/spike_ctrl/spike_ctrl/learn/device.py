"""Where networks learn: on the processor, or on a graphics card."""

from typing import Any

import torch

from spike_ctrl._files.errors import UsageError, meant


def devices() -> dict[str, str]:
    """The devices of this computer that torch can use: name, and what it is."""
    cards = {f"cuda:{index}": torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())}
    return {"cpu": "this processor"} | ({"cuda": cards["cuda:0"]} if cards else {}) | cards


def resolve(name: str) -> str:
    """The device that a recipe or an option names: one of `devices`, `warp`, or `auto`: a graphics card if there is one.

    `warp` are the kernels of the plug-in of that name on this processor. Raises UsageError for one that is not there.
    """
    known = devices()
    if name == "auto":
        return "cuda" if "cuda" in known else "cpu"
    if name in known or name == "warp":
        return name
    wanted = f"wanted one of auto, {', '.join(known)}, warp{meant(name, known)}"
    if name.startswith("cuda") and not torch.version.cuda:
        wanted += f": torch {torch.__version__} is built without CUDA"
    raise UsageError(f"device: found '{name}', {wanted}")


def of(module: Any) -> torch.device:
    """The device of a module's parameters; of one without, the processor."""
    return next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
