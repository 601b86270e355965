"""spike_ctrl: spiking neural networks that fly quadrotors. The library; it knows no ROS and reads no clock."""

from pathlib import Path

from spike_ctrl._files import kernel_cache

__version__ = "0.1.0"

kernel_cache.use(Path(__file__).parent)
