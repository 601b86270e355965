"""Starts the build of a package, which pyproject.toml describes: colcon runs `setup.py`. The other packages link to this."""

import os
import tempfile
from pathlib import Path

from setuptools import setup

manifest = Path("pyproject.toml")
among_links = not manifest.exists()  # `colcon build --symlink-install` builds in a folder of links to the sources
if among_links:
    manifest.symlink_to(Path(os.readlink("setup.py")).with_name("pyproject.toml"))
with tempfile.TemporaryDirectory() as scratch:  # a build leaves nothing among the sources
    setup(
        license="Apache-2.0",  # setuptools before and after 77 want different forms of it in pyproject.toml
        python_requires=">=3.10",  # colcon cannot read it from pyproject.toml
        options={} if among_links else {"egg_info": {"egg_base": scratch}, "build": {"build_base": scratch}},
    )
