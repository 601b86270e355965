"""Experiments: the numbers of arXiv 2510.24461 measured anew, each in a folder that can be gone on with.

An experiment is a module with

    SEEDS                           seeds of the quick and of the full size, 0 where there is nothing to repeat
    units(options)                  what is to be measured: independent pieces, each a name and plain settings
    measure(settings, context)      one piece: lines for its JSONL and files to keep; runs in a process of its own
    report(options, results)        table, figures and findings, computed from the lines of all pieces
"""

SUMMARIES = {
    "headline": "train a recipe once per seed: returns, survival, hover error, learning curves, seconds to 400 and 445",
    "gradients": "size and direction of gradients for surrogate slopes 1 to 100, in every layer",
    "slopes": "behaviour cloning and RL under fixed 2, 50, 100, interval and adaptive slopes",
    "ablation": "behaviour cloning x jump start, and TD3BC, BC, TD3 without it, under the reward curriculum",
    "published": "the recipe as published to its end, its learning curve beside the paper's levels",
    "critics": "values and gradients of the critics against returns and their finite differences",
    "energy": "MACs, ACs, sparsity, footprint and energy of the shipped policies and of an ANN",
}
