"""What the terminal shows: tables and help fit its width, and nothing of them is lost."""

import re

import pytest

from spike_ctrl._files.text_table import folded, text_table
from spike_ctrl.cli import main
from spike_ctrl.evaluation.evaluation_result import COLUMNS, Evaluation, evaluation_table, spread_table

COLUMN = {"return_mean": 455.3, "return_std": 5.0, "survival": 0.984, "length_mean": 1.0}
FOUND = Evaluation(dict.fromkeys(COLUMNS, COLUMN), {"median": 0.029, "p95": 0.034}, 0.014, 1024)
NAMES = ("models/crazyflie_robust.safetensors", "guide (lead to 20 ms)")


def shown(text):
    return sorted(re.findall(r"\S+", text))


@pytest.mark.parametrize(
    ("kind", "width"), [*((evaluation_table, w) for w in (80, 60, 40)), *((spread_table, w) for w in (80, 60))]
)
def test_the_table_of_an_evaluation_folds_at_the_terminals_width_and_loses_no_figure(kind, width, monkeypatch):
    flown = {name: FOUND if kind is evaluation_table else [FOUND, FOUND] for name in NAMES}
    monkeypatch.delenv("COLUMNS", raising=False)
    whole = kind(flown)
    assert len(whole.splitlines()) == 3 and max(map(len, whole.splitlines())) > 80  # no terminal: one line each
    monkeypatch.setenv("COLUMNS", str(width))
    narrow = kind(flown)
    assert max(map(len, narrow.splitlines())) <= width
    assert set(shown(whole)) - {NAMES[0]} <= {*shown(narrow), *shown(" ".join(NAMES))}
    assert narrow.count("455.3") == whole.count("455.3") == 8


def test_the_evaluation_at_the_end_of_a_training_fits_beside_the_name_of_its_node(monkeypatch):
    monkeypatch.setenv("COLUMNS", str(80 - len("[learner] ")))
    lines = evaluation_table({"spiking policy": FOUND}).splitlines()
    assert max(map(len, lines)) <= 70 and sum("spiking policy" in line for line in lines) == 2


def test_a_column_stands_under_its_head_and_names_begin_each_block():
    lines = text_table([["who", "mean", "worst"], ["PID", "1.0", "12.5"], ["guide", "10.0", "9.5"]], width=12).splitlines()
    assert lines == ["who    mean", "PID     1.0", "guide  10.0", "who    worst", "PID     12.5", "guide    9.5"]


def test_a_line_folds_between_words_under_its_indent():
    assert folded("graph  one two three four", 7, width=23) == "graph  one two three\n       four"
    assert folded("as it is", 2, width=80) == "as it is"


@pytest.mark.parametrize("verb", sorted({*main.names(), "experiment"}))
@pytest.mark.parametrize("width", [80, 60])
@pytest.mark.plug_ins
def test_the_help_of_a_verb_fits_the_terminal(verb, width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    found = main.find(verb)
    main.parser(verb, found).print_help()
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= width
    commands = [line.partition(" # ")[0].split() for line in re.sub(r" \\\n *", " ", text).splitlines()]
    for line in found.EXAMPLES.strip().splitlines():  # what is copied is still the whole command
        assert line.partition(" # ")[0].split() in commands
