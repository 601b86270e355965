"""Inputs that others write: whatever they hold, nothing raises but one clear error, nothing is obeyed, nothing grows.

- MAVLink: datagrams cost little time, parameter names are bounded, texts hold nothing that a terminal obeys
- metrics and manifests: a report and a load, or one error that names the file
- a signing key that others may read or change is refused
"""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spike_ctrl._files import resources
from spike_ctrl._files.errors import UsageError
from spike_ctrl._files.text_table import printable
from spike_ctrl.cli import main as command_line
from spike_ctrl.policy import checkpoint, manifest
from spike_ctrl.policy.manifest import CheckpointError
from spike_ctrl.px4.companion import MOST_PARAMETERS, Companion
from spike_ctrl.px4.dialect import messages
from spike_ctrl.px4.link import Link
from spike_ctrl.px4.mavlink import Reader, Writer
from spike_ctrl.px4.signing import read_key
from spike_ctrl.report import run_section, told_run

CLEAR_SCREEN = "\x1b[2J\x1b]0;owned\x07"
quickly = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def sent(*found):
    writer = Writer(1, 1)
    return b"".join(writer.write(message, 0.0) for message in found)


@pytest.mark.proves("38U")
@pytest.mark.parametrize("byte", [0xFE, 0xFD, 0x00])
def test_in_a_datagram_of_one_byte_repeated_few_checksums_are_tried(byte):
    reader = Reader({0})
    assert reader.read(bytes([byte]) * 65_000, 0.0) == [] and reader.counts["garbage"] == 65_000
    assert reader.counts["bad checksum"] + reader.counts["unknown"] <= 33  # of 65 000 places where a packet could begin


@pytest.mark.proves("38U")
def test_a_packet_behind_rubbish_is_still_read():
    rubbish = bytes([0xFE, 0x03, 0x00, 0x00, 0x00, 0x00]) * 4
    packet = sent(messages.MAVLink_heartbeat_message(2, 12, 0, 0, 0, 3))
    assert len(Reader({0}).read(rubbish + packet, 0.0)) == 1


@pytest.mark.proves("38U")
@quickly
@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_make_the_link_raise(data, stream):
    Link(stream=stream).receive(data, 1.0)


def test_the_names_of_parameters_are_names_and_bounded_in_number():
    link = Link()
    assert not link.receive(sent(messages.MAVLink_param_value_message(b"\x1b[2J", 1.0, 9, 1, 0)), 1.0)
    assert link.counts["parameter name"] == 1
    companion = Companion(link, 100.0)
    for number in range(0, MOST_PARAMETERS + 200):
        companion.receive(sent(messages.MAVLink_param_value_message(f"P_{number}".encode(), 1.0, 9, 1, 0)), 1.0)
    assert len(companion.parameters) == MOST_PARAMETERS


def test_a_text_of_the_autopilot_holds_nothing_that_a_terminal_obeys():
    (event,) = Link().receive(sent(messages.MAVLink_statustext_message(4, b"hot \x1b[2J motor\t")), 1.0)
    assert event.text == "hot \\x1b[2J motor"


@quickly
@given(st.text())
def test_what_is_printable_stays_and_what_a_terminal_obeys_does_not(text):
    assert all(c.isprintable() or c == "\n" for c in printable(text))
    assert printable(text) == text or not all(c.isprintable() or c == "\n" for c in text)


def test_an_error_with_a_name_from_a_file_does_not_clear_the_screen(tmp_path, capsys):
    path = tmp_path / "odd.yaml"
    path.write_text(f"{json.dumps('mass' + CLEAR_SCREEN)}: 1\n")
    assert command_line.main(["train", "td3bc", "--airframe", str(path), "--run", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert "x1b[2J" in said and "\x1b" not in said and "\x07" not in said


@quickly
@given(st.lists(json_values, min_size=1, max_size=3))
def test_any_metrics_are_a_section_or_one_error_that_names_the_file(tmp_path, lines):
    (tmp_path / "metrics.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    try:
        run_section.section(told_run.read(tmp_path))
    except UsageError as error:
        assert "metrics.jsonl" in str(error)


@pytest.mark.parametrize(
    "line",
    [{"environment_steps": "many"}, {"environment_steps": 1, "seconds": {}}, {"environment_steps": 10**400}, 7, [], "text"],
)
def test_a_line_of_odd_metrics_is_named(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(f'{json.dumps(line)}\n{{"environment_steps": 2}}\n')
    with pytest.raises(UsageError, match=r"metrics.jsonl, line 1: found .*, wanted a JSON mapping to numbers"):
        run_section.section(told_run.read(tmp_path))


def test_metrics_that_are_not_known_are_left_out(tmp_path):
    lines = ('{"environment_steps": 1, "seconds": null, "return": NaN}', '{"environment_steps": 2, "return": 3.5}')
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    assert run_section.section(told_run.read(tmp_path)).title.startswith("Run")


@quickly
@given(json_values, st.sampled_from(["contract", "tolerance", "format", "sha256", "seed", "evaluation", None]))
def test_any_manifest_is_read_or_refused_by_name(value, key):
    about = checkpoint.load(resources.find("models", "sih_quadx.safetensors")).manifest
    fields = json.loads(manifest.text_of(about))
    text = json.dumps(value if key is None else fields | {key: value})
    try:
        manifest.parse(text, "model")
    except CheckpointError as error:
        assert str(error).startswith("model: ")


@pytest.mark.parametrize("mode", [0o644, 0o666, 0o620, 0o604])
def test_a_signing_key_that_others_may_read_or_change_is_refused(tmp_path, mode):
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    key.chmod(mode)
    with pytest.raises(UsageError, match=rf"key: found mode {mode:o}, wanted 600: others may .* \(chmod 600\)"):
        read_key(key)
    key.chmod(0o600)
    assert read_key(key) == b"k" * 32
