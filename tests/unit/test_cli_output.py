"""Where results go: what cannot be written is refused before the work, and nothing is left behind."""

import errno
import fcntl
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from refusal import refused

from spike_ctrl._files import json_lines, output_paths
from spike_ctrl._files.errors import UsageError
from spike_ctrl.cli import main

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "arguments",
    [
        ["eval", "--guide", "--json"],
        ["replay", "no-bag", "--json"],
        ["report", "no-model", "--output"],
        ["identify", "no-bag", "--output"],
        ["export", "no-model", "--to", "nir", "--output"],
        ["export", "no-model", "--to", "onnx", "--output"],
        ["truth"],
    ],
)
@pytest.mark.plug_ins
def test_a_file_that_cannot_be_written_is_refused_before_the_work(arguments, tmp_path, capsys):
    option = arguments[-1] if arguments[-1].startswith("--") else "FILE"
    absent = tmp_path / "absent" / "file"
    if option != "FILE":  # truth makes the folders that lead there
        complaint = f"{option} {absent}: found no folder {absent.parent}, wanted one to write to"
        assert refused(capsys, *arguments, str(absent)) == complaint
    long = tmp_path / ("a" * 300)
    assert refused(capsys, *arguments, str(long)) == f"{option} {long}: cannot be written (File name too long)"
    assert refused(capsys, *arguments, str(tmp_path)) == f"{option}: found the folder {tmp_path}, wanted a file"
    assert refused(capsys, *arguments, "/proc/file") == f"{option} /proc/file: cannot be written (No such file or directory)"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--from-bag", "no-bag", "--run"],
        ["retrain", "no-bag", "--run"],
        ["experiment", "headline", "--output"],
        ["export", "no-model", "--to", "c", "--output"],
    ],
)
@pytest.mark.plug_ins
def test_a_folder_that_cannot_be_made_is_refused_before_the_work(arguments, tmp_path, capsys):
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "run"):
        assert refused(capsys, *arguments, str(path)) == f"{arguments[-1]} {path}: found the file {file}, wanted a folder"
    long = tmp_path / "new" / ("a" * 300)
    assert refused(capsys, *arguments, str(long)) == f"{arguments[-1]} {long}: cannot be written (File name too long)"
    complaint = f"{arguments[-1]} /proc/a/b: cannot be written (No such file or directory)"
    assert refused(capsys, *arguments, "/proc/a/b") == complaint


def test_the_reason_why_a_file_cannot_be_written_is_the_true_one(tmp_path, monkeypatch):
    program = tmp_path / "sleep"
    shutil.copy(shutil.which("sleep"), program)
    running = subprocess.Popen([program, "60"])
    try:
        with pytest.raises(UsageError) as refusal:
            output_paths.require_file("--json", program)
    finally:
        running.kill()
        running.wait()
    assert str(refusal.value) == f"--json {program}: cannot be written (Text file busy)"

    def barred(path, *arguments, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    for require in (output_paths.require_file, output_paths.require_folder):
        with monkeypatch.context() as patch, pytest.raises(UsageError) as refusal:
            patch.setattr(os, "stat", barred)
            require("--json", tmp_path / "file")
        assert str(refusal.value) == f"--json {tmp_path / 'file'}: cannot be written (Permission denied)"


@pytest.mark.parametrize("form", ["nir", "onnx"])
@pytest.mark.plug_ins
def test_a_file_that_is_replaced_needs_its_folder_and_not_itself_to_be_writable(form, tmp_path, monkeypatch, capsys):
    """/proc/self/comm may be written, but nothing can be made beside it."""
    fixed = "/proc/self/comm"
    complaint = f"--output {fixed}: cannot be written (No such file or directory)"
    assert refused(capsys, "export", "no-model", "--to", form, "--output", fixed) == complaint
    file = tmp_path / "policy"
    file.touch(mode=0o444)
    monkeypatch.setattr(os, "access", lambda *arguments, **options: False)  # as root it would be True
    assert refused(capsys, "export", "no-model", "--to", form, "--output", str(file)).startswith(
        "model 'no-model' not found; known: "
    )


@pytest.mark.plug_ins
def test_what_is_no_file_is_not_replaced_by_one(tmp_path, capsys):
    os.mkfifo(pipe := tmp_path / "pipe.gif")
    for arguments in (["export", "no-model", "--to", "onnx"], ["film", "no-model"]):
        complaint = f"--output: found {pipe}, which is no file, wanted one: it would be replaced"
        assert refused(capsys, *arguments, "--output", str(pipe)) == complaint


def test_a_reader_of_an_output_sees_the_old_file_or_the_new_one_and_never_a_part(tmp_path, monkeypatch):
    (file := tmp_path / "recipe.json").write_text("old")

    def read(temporary, path):
        assert Path(path).read_text() == "old" and json.loads(Path(temporary).read_text())
        seen.append(path)
        replace(temporary, path)

    seen, replace = [], os.replace
    monkeypatch.setattr(os, "replace", read)
    assert main.main(["schema", "recipe", "-o", str(file)]) == 0
    assert seen == [file] and json.loads(file.read_text()) and os.listdir(tmp_path) == ["recipe.json"]
    file.write_text("old")
    output_paths.write_json("--json", file, {"a": 1})
    assert seen == [file, file] and json.loads(file.read_text()) == {"a": 1}


def test_a_figure_that_is_not_finite_is_null_for_json_knows_no_nan(tmp_path):
    output_paths.write_json("--json", file := tmp_path / "figures.json", {"a": (math.nan, math.inf, 1.5)})
    assert json.loads(file.read_text(), parse_constant=pytest.fail) == {"a": [None, None, 1.5]}


def test_an_output_that_is_a_pipe_or_a_link_is_written_and_stays_one(tmp_path):
    os.mkfifo(pipe := tmp_path / "pipe")
    reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE, text=True)
    assert main.main(["schema", "recipe", "-o", str(pipe)]) == 0
    assert json.loads(reader.communicate(timeout=20)[0]) and pipe.is_fifo()
    (link := tmp_path / "link").symlink_to("file")
    output_paths.write_json("--json", link, [1])
    assert link.is_symlink() and json.loads((tmp_path / "file").read_text()) == [1]


def test_a_file_that_is_replaced_keeps_its_permissions_and_a_name_may_be_as_long_as_the_disk_allows(tmp_path):
    (private := tmp_path / "private.json").touch(0o600)
    output_paths.write_json("--json", private, [1])
    assert private.stat().st_mode & 0o777 == 0o600 and json.loads(private.read_text()) == [1]
    output_paths.write_json("--json", long := tmp_path / ("a" * 255), [1])
    assert json.loads(long.read_text()) == [1] and len(os.listdir(tmp_path)) == 2


def test_a_disk_that_cannot_lock_is_told(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    told = "cannot be locked: No locks available; give a --folder on another disk"
    with pytest.raises(UsageError, match=told), json_lines.alone(tmp_path / "flights.jsonl"):
        pass


@pytest.mark.parametrize(
    "arguments", [["export", "no-model", "--to", "c", "-o"], ["import", "-o"], ["repair"], ["silicon", "widths"]]
)
@pytest.mark.plug_ins
def test_an_empty_path_is_not_the_present_folder(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main.main([*arguments, ""])
    assert capsys.readouterr().err.endswith(": found no path, wanted one\n")


@pytest.mark.parametrize("arguments", [["inspect"], ["eval"], ["report"], ["replay"], ["import"], ["train", "--from-bag"]])
@pytest.mark.plug_ins
def test_a_path_that_cannot_be_looked_for_ends_a_verb_with_a_line(arguments, capsys):
    long = f"{'a' * 300}.safetensors"
    assert refused(capsys, *arguments, long) == f"{long}: cannot be used (File name too long)"


def test_a_disk_that_is_full_ends_a_verb_with_a_line(capsys):
    with open("/dev/full", "w") as full:
        program = [sys.executable, "-m", "spike_ctrl.cli.main", "schema", "airframe"]
        ended = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr == "error: an output: cannot be written to its end (no space left on the disk)\n"
    assert refused(capsys, "schema", "airframe", "-o", "/dev/full").startswith(
        "--output /dev/full: cannot be written (No sp"
    )


@pytest.mark.plug_ins
def test_truth_makes_the_folders_that_lead_to_its_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gz", None)  # be Gazebo installed or not
    assert refused(capsys, "truth", str(tmp_path / "new" / "truth.csv")).startswith("Gazebo's Python bindings: found none")
    assert not list(tmp_path.iterdir())


@pytest.mark.plug_ins
def test_identify_also_looks_where_its_recipe_goes(tmp_path, capsys):
    beside = tmp_path / "mine_recipe.yaml"
    beside.mkdir()
    (bag := tmp_path / "bag").mkdir()
    (bag / "metadata.yaml").touch()  # it is no bag either; but it is read later
    found = refused(capsys, "identify", str(bag), "--output", str(tmp_path / "mine.yaml"))
    assert found == f"--output: found the folder {beside}, wanted a file"


@pytest.mark.plug_ins
def test_retrain_refuses_a_run_that_exists_before_it_identifies(tmp_path, capsys):
    (tmp_path / "run.json").touch()
    there = f"run {tmp_path}: exists already; name another, or resume it: spike-ctrl train --resume {tmp_path}"
    assert refused(capsys, "retrain", "no-bag", "--run", str(tmp_path)) == there


def test_where_results_can_be_written_nothing_is_left_behind_by_the_look(tmp_path):
    there = tmp_path / "there.json"
    there.write_text("kept")
    output_paths.require_file("--json", there)
    output_paths.require_file("--json", tmp_path / "new.json")
    output_paths.require_folder("--run", tmp_path / "a" / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["there.json"] and there.read_text() == "kept"


@pytest.mark.plug_ins
@pytest.mark.parametrize(
    ("command", "name", "kind"),
    [
        (["report", "no-model"], "flight_0.mcap", "bag"),
        (["report", "no-model"], "mine.safetensors", "model"),
        (["export", "no-model", "--to", "checkpoint", "--airframe", "crazyflie"], "mine.safetensors", "model"),
    ],
)
def test_a_model_or_a_bag_is_not_written_over(command, name, kind, tmp_path, capsys):
    there = tmp_path / name
    there.write_bytes(b"hours of work")
    complaint = f"--output: found the {kind} {there}, wanted a file that is none: it would be lost"
    assert refused(capsys, *command, "--output", str(there)) == complaint
    assert there.read_bytes() == b"hours of work"
