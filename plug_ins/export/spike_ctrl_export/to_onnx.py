"""The format onnx: a model for inference runtimes."""

import argparse
from typing import Any

from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl_export import contract_words

OPTIONS: dict[str, dict[str, Any]] = {}


def write(options: argparse.Namespace, found: Checkpoint) -> int:
    """Write the model and run the self-test through it; the exit code. Raises UsageError."""
    from spike_ctrl_export import onnx

    worst = onnx.write(options.output, found)
    step = (
        "observation, state -> action, next_state"
        if found.graph
        else "observation, membrane -> action, next_membrane, spike"
    )
    print(f"{options.output}: {contract_words(found)}; {step}")
    if worst is None:
        print("not checked: onnxruntime is not installed (pip install onnxruntime)")
    else:
        print(f"self-test in onnxruntime: {len(found.self_test)} steps, largest difference {worst:.2g}")
    return 0
