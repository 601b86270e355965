"""The format checkpoint: a policy that was trained on many airframes, for one of yours."""

import argparse

from spike_ctrl._files.errors import UsageError
from spike_ctrl.policy.checkpoint import Checkpoint
from spike_ctrl_export import contract_words

OPTIONS = {
    "airframe": {"help": "the airframe that is to be flown, a name or a path to a YAML file"},
    "recipe": {"help": "the recipe that the model was trained with, a name or a path (default: as the model says)"},
}


def write(options: argparse.Namespace, found: Checkpoint) -> int:
    """Evaluate the policy on the airframe, and write its checkpoint; the exit code. Raises UsageError."""
    from spike_ctrl import airframe
    from spike_ctrl._files import provenance
    from spike_ctrl.evaluation.benchmark import evaluate
    from spike_ctrl.evaluation.controllers import PolicyController
    from spike_ctrl.evaluation.evaluation_result import evaluation_table
    from spike_ctrl.learn import recipe as recipes
    from spike_ctrl.policy import checkpoint
    from spike_ctrl_export import for_airframe

    if not options.airframe:
        raise UsageError("--to checkpoint: found no --airframe, wanted the one that is to be flown")
    about, craft = found.manifest, airframe.load(options.airframe)
    name = options.recipe or about.recipe
    ranges = recipes.find(name).task.airframes if name else None
    if ranges is None:
        only = f"its task draws no airframes: the policy knows {about.contract.airframe} alone"
        raise UsageError(f"{options.model}: recipe '{name}': {only}, wanted a policy such as any_quad")
    carrier = found.airframe()
    for_airframe.require_drawable(found, craft, carrier, ranges)
    print(f"evaluating on 1024 starts of {craft.name} ...", flush=True)
    flown = evaluate(PolicyController(found.policy), craft)
    print(evaluation_table({options.model.stem: flown}))
    evaluation = {"frozen": flown.to_dict()}
    for_airframe.write(options.output, found, craft, {"command": provenance.command(), "evaluation": evaluation})
    made = checkpoint.load(options.output)
    print(f"{options.output}: {contract_words(made)}; self-test passed, {len(made.self_test)} steps")
    return 0
