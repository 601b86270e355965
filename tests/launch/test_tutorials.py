"""The tutorials and the pages around them: each command is one that the program takes, and what they say is complete."""

import importlib.util
import os
import re
import shlex
import sys
from pathlib import Path

import pytest
from nbclient import NotebookClient

from spike_ctrl import launching
from spike_ctrl._files import resources
from spike_ctrl.cli import main
from spike_ctrl.learn import recipe as recipes

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").glob("tutorial_*.md"))
FENCED = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)


def listings(page, language):
    return [text for kind, text in FENCED.findall(page.read_text()) if kind == language]


def commands():
    for page in PAGES:
        for text in listings(page, "sh"):
            for line in text.splitlines():
                yield pytest.param(shlex.split(line, comments=True), id=f"{page.stem}: {line[:60]}")


@pytest.mark.parametrize("words", list(commands()))
def test_a_command_of_a_tutorial_is_one_that_the_program_takes(words):
    program, *rest = words
    if program == "python":
        assert (ROOT / rest[0]).is_file()
        return
    assert program == "spike-ctrl"
    verb, *arguments = rest
    options = main.parser(verb, main.find(verb)).parse_args(arguments)
    if verb == "launch":
        declared = launching.arguments(resources.find("launch", f"{options.name}.launch.py"))
        assert {word.partition(":=")[0] for word in options.arguments} <= {argument.name for argument in declared}
    if verb == "train" and options.recipe and not options.recipe.startswith("mine"):
        recipes.find(str(ROOT / options.recipe) if "/" in options.recipe else options.recipe)
    for model in (word for word in arguments if word.startswith("models/")):
        assert (ROOT / model).is_file()


def test_the_python_of_the_tutorials_runs():
    texts = [text for page in PAGES for text in listings(page, "python")]
    assert texts
    for text in texts:
        exec(compile(text, "tutorial", "exec"), {"__name__": "tutorial"})


@pytest.fixture(scope="module")
def notebooks():
    specification = importlib.util.spec_from_file_location("notebooks", ROOT / "docs" / "notebooks.py")
    found = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(found)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_as_a_notebook_holds_every_listing_of_its_page_and_only_cells_that_can_run(notebooks, page):
    made = notebooks.notebook(page)
    assert made == notebooks.notebook(page)  # the same bytes each time
    sources = [cell.source for cell in made.cells if cell.cell_type == "code"]
    assert [text.removeprefix("%%sh\n") for text in sources[1:]] == [
        text.strip() for kind, text in FENCED.findall(page.read_text()) if kind in ("sh", "python")
    ]
    for text in sources:
        if text.startswith("%%sh"):
            assert text.startswith("%%sh\n") and shlex.split(text.partition("\n")[2], comments=True)
        else:
            compile(text, page.stem, "exec")


def test_the_notebook_of_the_flight_that_failed_runs_and_says_what_its_page_shows(notebooks, tmp_path, monkeypatch):
    page = ROOT / "docs" / "tutorial_failure.md"
    for name in ("models", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    made = notebooks.notebook(page)
    NotebookClient(made, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    told = "".join(output.get("text", "") for cell in made.cells for output in cell.get("outputs", ()))
    shown = "".join(listings(page, ""))
    assert shown.count("POLICY_SILENT") > 2 and all(line in told for line in shown.splitlines())
    assert (tmp_path / "killed.html").is_file()


def test_every_recipe_is_in_the_table_of_what_it_is_for():
    named = set(re.findall(r"`(\w+)`", (ROOT / "docs" / "recipes.md").read_text()))
    assert {path.stem for path in (ROOT / "config" / "recipes").glob("*.yaml")} <= named


def test_the_glossary_is_in_order_and_has_each_word_once():
    rows = re.findall(r"^\| (.*?) \|", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)[2:]
    words = [row.strip("*").lower() for row in rows]
    assert words == sorted(set(words)) and len(words) > 40
