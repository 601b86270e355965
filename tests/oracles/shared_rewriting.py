"""Test files are rewritten once for all workers of a run: pytest does it in each, where no earlier run has left them."""

from pathlib import Path

import pytest
from _pytest.assertion import rewrite


def rewrite_share(config: pytest.Config, number: int, workers: int) -> list[Path]:
    """Write what pytest makes of every workers-th test file, where its cache has none; return those files.

    Workers collect in the same order, and each would rewrite all: 12 s of a processor.
    """
    folders = [Path(argument) for argument in config.args if Path(argument).is_dir()]
    written = []
    for file in [file for folder in folders for file in sorted(folder.absolute().rglob("test_*.py"))][number::workers]:
        cache = rewrite.get_cache_dir(file)
        compiled = cache / (file.name[:-3] + rewrite.PYC_TAIL)
        if rewrite._read_pyc(file, compiled) is None and rewrite.try_makedirs(cache):
            digest, code = rewrite._rewrite_test(file, config)
            rewrite._write_pyc(config.stash[rewrite.assertstate_key], code, digest, compiled)
            written.append(file)
    return written
