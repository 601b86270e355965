"""The file that a run resumes from: everything that a learner holds, with a sum of its contents."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from spike_ctrl.policy.checkpoint import CheckpointError, replace, sum_of


def save(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], info: Mapping[str, Any]) -> None:
    """Write a resumable training state, atomically: named arrays of any size, and info as JSON."""
    path = Path(path)
    try:
        text = json.dumps(info, allow_nan=True)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: info: {error}; wanted numbers, text, lists and mappings") from None
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    about = {"info": text, "sha256": sum_of(arrays, text)}
    replace(path, lambda temporary: safetensors.numpy.save_file(arrays, temporary, metadata=about))


def load(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and info that `save` wrote. Raises CheckpointError if the file is damaged or something else."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            text, wanted = ((file.metadata() or {})[name] for name in ("info", "sha256"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}
        info = json.loads(text)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from None
    except KeyError as error:
        raise CheckpointError(f"{path}: {error.args[0]}: found nothing, wanted the metadata of a training state") from None
    except Exception as error:  # whatever the parser finds, the caller gets one kind of error
        raise CheckpointError(f"{path}: not a readable training state: {error}") from None
    if (found := sum_of(arrays, text)) != wanted:
        raise CheckpointError(f"{path}: sha256: found {found}, wanted {wanted}: the file was altered")
    return arrays, info
