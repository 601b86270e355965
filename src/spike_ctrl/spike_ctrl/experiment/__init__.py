"""Experiments: the numbers of arXiv 2510.24461 measured anew, each in a folder that can be gone on with.

An experiment is a module with

    SUMMARY                         one line for --help
    SEEDS                           seeds of the quick and of the full size, 0 where there is nothing to repeat
    units(options)                  what is to be measured: independent pieces, each a name and plain settings
    measure(settings, context)      one piece: lines for its JSONL and files to keep; runs in a process of its own
    report(options, results)        table, figures and findings, computed from the lines of all pieces
"""

NAMES = ("headline", "gradients", "slopes", "ablation", "energy")
