"""spike_ctrl: spiking neural networks that fly quadrotors. The library; it knows no ROS and reads no clock."""

import hashlib
import os
from pathlib import Path

__version__ = "0.2.0"


def _kernel_cache() -> Path:
    """Where compiled kernels are kept: one folder per state of the sources.

    numba looks only at the file that defines a kernel. Ours inline functions of other files, so a change there would
    leave stale machine code in use.
    """
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for source in sorted(here.rglob("*.py")):
        if b"njit" in (text := source.read_bytes()):
            digest.update(text)
    home = here if os.access(here, os.W_OK) else Path.home() / ".cache" / "spike_ctrl"
    return home / "__pycache__" / f"kernels-{digest.hexdigest()[:12]}"


os.environ.setdefault("NUMBA_CACHE_DIR", str(_kernel_cache()))
