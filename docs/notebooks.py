"""The tutorials as Jupyter notebooks: `make notebooks` writes build/notebooks, and the site offers them beside the pages.

A page is the one source. Its Python becomes cells of Python, its commands cells of the shell, all else text.
"""

import re
from pathlib import Path

import jupytext
from nbformat import NotebookNode, v4

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").glob("tutorial_*.md"))
HEADER = """\
---
jupyter:
  kernelspec: {display_name: Python 3, language: python, name: python3}
---
"""
BEGIN = """\
# Once: `make setup`, then `pip install jupyterlab` in its environment. Keep this file inside of the checkout.
import os, pathlib
here = pathlib.Path.cwd()
os.chdir(next(folder for folder in (here, *here.parents) if (folder / "models").is_dir()))"""


def notebook(page: Path) -> NotebookNode:
    """A page of Markdown as a notebook without outputs, in which links lead nowhere but to other web sites."""
    text = re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", page.read_text())
    made = jupytext.reads(HEADER + text, fmt="md")
    made.cells.insert(1, v4.new_code_cell(BEGIN))
    for number, cell in enumerate(made.cells):
        cell.id = f"{page.stem}-{number}"  # else it is drawn anew each time
    made.metadata.pop("jupytext", None)
    return made


def main(folder: Path = ROOT / "build" / "notebooks") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for page in PAGES:
        target = folder / f"{page.stem}.ipynb"
        jupytext.write(notebook(page), target)
        print(target.relative_to(ROOT))


if __name__ == "__main__":
    main()
