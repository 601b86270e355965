"""Write the JSON Schema by which an editor checks a kind of file.

An editor with a YAML language server finds it by a line in the file:
# yaml-language-server: $schema=recipe.json
"""

import argparse
import importlib
from pathlib import Path

from spike_ctrl import plug_ins
from spike_ctrl._files import atomic_file, output_paths, settings
from spike_ctrl._files.errors import UsageError, refused

GROUP = "tools"
EXAMPLES = """
spike-ctrl schema recipe -o recipe.json
spike-ctrl schema airframe
"""
KINDS = {"airframe": "spike_ctrl.airframe", "recipe": "spike_ctrl.learn.recipe"}


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", metavar="KIND", help=f"one of {', '.join(_kinds())}")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to write it (default: standard output)")


def run(options: argparse.Namespace) -> int:
    if options.kind not in _kinds():
        raise UsageError(f"KIND: found '{options.kind}', wanted one of {', '.join(_kinds())}")
    home = KINDS.get(options.kind)
    schema = importlib.import_module(home).schema if home else plug_ins.load("schemas", options.kind, "KIND")
    text = settings.text(options.kind, schema())
    if options.output is None:
        print(text, end="")
    else:
        output_paths.require_file("--output", options.output)
        with refused(f"--output {options.output}: cannot be written"):
            atomic_file.write_text(options.output, text)
    return 0


def _kinds() -> list[str]:
    return sorted({*KINDS, *plug_ins.names("schemas")})
