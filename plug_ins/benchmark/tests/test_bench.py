"""Measuring: build/bench.json holds the figures of one run of all parts, or is left alone."""

import ast
import json
import runpy
from pathlib import Path

import pytest

import spike_ctrl
from spike_ctrl._files import resources
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli.main import main
from spike_ctrl_benchmark import bench_verb as bench


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with two parts, `slow` and `fast`."""
    for folder in ("config", "tests/bench"):
        (tmp_path / folder).mkdir(parents=True)
    for part, value in {"slow": 1.0, "fast": 2.0}.items():
        (tmp_path / f"tests/bench/bench_{part}.py").write_text(f"def measure():\n    return {{'{part}': {value}}}\n")
    monkeypatch.setattr(resources, "folder", lambda name: tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("parts", [[], ["slow", "fast"]])
def test_all_parts_are_written(parts, checkout, capsys):
    assert bench.measure_parts(parts) == 0
    assert json.loads((checkout / "build/bench.json").read_text()) == {"slow": 1.0, "fast": 2.0}
    assert "written: " in capsys.readouterr().out


def test_a_part_alone_is_printed_and_leaves_the_file_as_it_was(checkout, capsys):
    bench.measure_parts([])
    before = (checkout / "build/bench.json").read_bytes()
    (checkout / "tests/bench/bench_slow.py").write_text("def measure():\n    return {'slow': 9.25}\n")
    capsys.readouterr()
    assert bench.measure_parts(["slow"]) == 0
    shown = capsys.readouterr().out
    assert "9" in shown and "bench.json: fast not measured" in shown
    assert (checkout / "build/bench.json").read_bytes() == before


def test_an_unknown_part_is_named(checkout):
    with pytest.raises(UsageError, match="bench: found part 'quick', wanted among fast, slow"):
        bench.measure_parts(["quick"])


def test_the_help_names_all_parts(capsys):
    with pytest.raises(SystemExit):
        main(["bench", "--help"])
    files = (resources.folder("config").parent / "tests" / "bench").glob("bench_*.py")
    parts = ", ".join(sorted(file.stem.removeprefix("bench_") for file in files))
    assert parts in " ".join(capsys.readouterr().out.split())


def test_every_part_of_a_training_run_is_a_function_of_the_library():
    """A part whose file was renamed would be counted as `rest` without a word."""
    parts = runpy.run_path(str(Path(__file__).parents[3] / "tests/bench/bench_training.py"))["PARTS"]
    for file, function in parts.values():
        sources = list(Path(spike_ctrl.__file__).parent.rglob(file))
        defined = {node.name for path in sources for node in ast.walk(ast.parse(path.read_text())) if hasattr(node, "name")}
        assert function in defined, f"{file}: {function}"
