"""Options of a verb from settings: a field of a dataclass is declared once, for the command line and for launch files."""

import argparse
import dataclasses
from typing import Any

from spike_ctrl._files import ranges


def add_settings(parser: argparse.ArgumentParser, settings: Any, names: str = "", **shown: str) -> None:
    """Add an option for each field of a dataclass of `ranges.setting` fields, or for those named.

    shown: what help calls a value, by field.
    """
    known = {field.name: field for field in dataclasses.fields(settings)}
    for field in (known[name] for name in names.split() or known):
        default: Any = field.default
        words = field.metadata["description"].rstrip(".")
        words = words[0].lower() + words[1:] if words[1].islower() else words  # but for CSV and the like
        limits = ranges.limits(field.metadata)
        limits += [f"default: {ranges.words(default)}"] if default != "" else []  # else the sentence tells
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=type(default),
            default=default,
            metavar=shown.get(field.name),
            help=f"{words} ({', '.join(limits)})" if limits else words,
        )
