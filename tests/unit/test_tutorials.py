"""The tutorials and the pages around them: each command is one that the program takes, and what they say is complete."""

import re
import shlex
from pathlib import Path

import pytest

from spike_ctrl import launching
from spike_ctrl._files import resources
from spike_ctrl.cli import main
from spike_ctrl.learn import recipe as recipes

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


def test_the_flight_that_failed_says_what_its_tutorial_shows_and_replays_bit_by_bit(tmp_path, monkeypatch, capsys):
    page = ROOT / "docs" / "tutorial_failure.md"
    monkeypatch.syspath_prepend(ROOT / "examples")
    import killed_policy

    killed_policy.main(tmp_path / "killed", ROOT / "models" / "sih_quadx.safetensors")
    told = capsys.readouterr().out
    assert next(text for text in listings(page, "") if "POLICY_SILENT" in text) in told
    main.main(["replay", str(tmp_path / "killed"), "--guard"])
    replayed = capsys.readouterr().out
    for line in next(text for text in listings(page, "") if "POLICY_SILENT: " in text).splitlines():
        assert line in replayed


def test_every_recipe_is_in_the_table_of_what_it_is_for():
    named = set(re.findall(r"`(\w+)`", (ROOT / "docs" / "recipes.md").read_text()))
    assert {path.stem for path in (ROOT / "config" / "recipes").glob("*.yaml")} <= named


def test_the_glossary_is_in_order_and_has_each_word_once():
    rows = re.findall(r"^\| (.*?) \|", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)[2:]
    words = [row.strip("*").lower() for row in rows]
    assert words == sorted(set(words)) and len(words) > 40
