"""No YAML file makes the reader raise anything but the error that its caller named, in one line."""

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spike_ctrl._files import yaml_file
from spike_ctrl._files.errors import UsageError

pytestmark = pytest.mark.slow


def refusal(tmp_path, data):
    file = tmp_path / "file.yaml"
    file.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(UsageError) as found:
        yaml_file.read(file, "airframe")
    assert "\n" not in str(found.value) and "file.yaml" in str(found.value)
    return str(found.value)


@pytest.mark.parametrize(
    "text",
    [
        "mass: 2001-99-99",
        f"mass: {'9' * 5000}",
        "mass: !!int abc",
        "mass: !!timestamp abc",
        "[" * 3000,
        "? [a, b]\n: 1",
        "a: 1\na: 2",
    ],
    ids=["date", "digits", "int", "timestamp", "brackets", "key", "twice"],
)
def test_what_is_not_a_configuration_is_refused_in_one_line(tmp_path, text):
    refusal(tmp_path, text)


def test_thirty_thousand_keys_take_no_time_and_a_file_without_end_is_not_read(tmp_path):
    begin = time.process_time()
    file = tmp_path / "file.yaml"
    file.write_text("".join(f"k{n}: 1\n" for n in range(30_000)))
    assert len(yaml_file.read(file, "airframe")) == 30_000
    assert time.process_time() - begin < 60
    assert "more than 1000000 bytes" in refusal(tmp_path, b"a" * 1_000_001)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), st.text("[]{}:,!&*-?|>'\"% \n019ae.", max_size=80).map(str.encode)))
def test_no_bytes_raise_another_error(tmp_path, data):
    file = tmp_path / "any.yaml"
    file.write_bytes(data)
    try:
        yaml_file.read(file, "airframe")
    except UsageError as error:
        assert "\n" not in str(error)
