"""What the plug-in adds for a device: methods of learning whose kernels run there. Warp is loaded when they are used."""

import functools
import importlib.util
from collections.abc import Callable

from spike_ctrl._files.errors import UsageError
from spike_ctrl.learn.algorithm import Algorithm

PROCESSOR = "warp"  # the name by which a recipe asks for these kernels on the processor


def methods(name: str) -> dict[str, Callable[..., Algorithm]]:
    """By name, the methods for spiking networks on a device: warp, cuda or cuda:N. Raises UsageError without Warp."""
    place = warp_device(name)
    from spike_ctrl_warp.device_gradient import DeviceGradient

    return {"bptt": functools.partial(DeviceGradient, device=place)}


def warp_device(name: str) -> str:
    """What torch and Warp call a device, Warp made ready for it. Raises UsageError where one of them does not see it."""
    if importlib.util.find_spec("warp") is None:
        wanted = "wanted warp-lang, 400 MB: pip install './plug_ins/warp[gpu]' in a checkout"
        raise UsageError(f"device: found '{name}' without Warp, {wanted}")
    import warp as wp

    wp.config.log_level = wp.LOG_WARNING
    wp.init()
    place = {PROCESSOR: "cpu", "cuda": "cuda:0"}.get(name, name)
    known = [device.alias for device in wp.get_devices()]
    if place not in known:
        raise UsageError(f"device: found '{name}', which Warp does not see, wanted one of {', '.join(known)}")
    return place
