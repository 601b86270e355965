"""Experiments that repeat the measurements of arXiv 2510.24461. Each has a folder, and can be stopped and continued.

The experiment NAME is the module NAME_study with

    SEEDS                           number of seeds in the quick and in the full size; 0 if nothing is repeated
    units(options)                  the independent pieces to measure, each with a name and plain settings
    measure(settings, context)      measures one piece in its own process: lines for its JSONL file, and files to keep
    report(options, results)        table, figures and findings from the lines of all pieces

To add one, write its module and add a line to SUMMARIES.
"""

SUMMARIES = {  # what `spike-ctrl experiment --help` says of each
    "headline": "train a recipe once per seed: returns, survival, hover error, curves, seconds to returns of 400 and 445",
    "methods": "every way of learning on the same seeds, from rewards, with a guide, by imitation: curves on one figure",
    "additions": "what the literature adds to td3bc, one at a time: other critics, targets, inputs, short horizons",
    "gradients": "size and direction of gradients for surrogate slopes 1 to 100, in every layer",
    "slopes": "behaviour cloning and RL under fixed 2, 50, 100, interval and adaptive slopes",
    "ablation": "behaviour cloning x jump start, and TD3BC, BC, TD3 without it, under the reward curriculum",
    "published": "the recipe as published to its end, its learning curve beside the paper's levels",
    "offline": "what real flights teach (--from-bag): cloning, TD3BC, recurrent, then flown or tuned in simulation",
    "critics": "values and gradients of the critics against returns and their finite differences",
    "energy": "MACs, ACs, sparsity, footprint and energy of the shipped policies and of an ANN",
}
FROM_BAGS = ("offline",)  # those that learn from recorded flights
