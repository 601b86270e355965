"""Write one HTML page about models, runs and bags.

Figures and tables, several models or runs side by side: runs that differ by their seed alone are one curve with the 95 %
interval of its mean. A folder of runs stands for all runs in it, side by side only. The page needs no network.
"""

import argparse
from pathlib import Path

from spike_ctrl._files import output_paths

GROUP = "recordings"
EXAMPLES = """
spike-ctrl report models/crazyflie.safetensors
spike-ctrl report runs                                                   # all runs in the folder, side by side
spike-ctrl report runs/a runs/b -o compared.html                         # and each of them
spike-ctrl report runs/short bags/20260101-120000 models/*.safetensors -o all.html
"""


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", metavar="PATH", type=Path, help="a model, a run, a folder of runs, or a bag")
    parser.add_argument("-o", "--output", type=Path, default=Path("report.html"), help="file (default: report.html)")
    parser.add_argument("--namespace", metavar="NAME", help="of the graph, where a bag holds several (default: the first)")
    parser.set_defaults(draw=None)  # of `report.write`; an option of a plug-in may set it


def run(options: argparse.Namespace) -> int:
    from threadpoolctl import threadpool_limits

    from spike_ctrl import report

    output_paths.require_file("--output", options.output)
    with threadpool_limits(1):  # as the nodes compute: a replay is to be equal bit by bit
        print("\n".join(report.write(options.output, options.paths, options.draw, options.namespace)))
    print(f"report: {options.output}, {options.output.stat().st_size / 1e6:.1f} MB")
    return 0
