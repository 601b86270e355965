"""Set-up fetches with uv from where pip of this computer would: pip's own list of its settings becomes uv's variables."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "requirements" / "pip_settings.py"


def settings(tmp_path, configuration, **variables):
    """uv's variables after a shell has read what the script prints."""
    (tmp_path / "pip.conf").write_text(configuration)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "SSL_"))}
    env = kept | {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf")} | variables
    printed = subprocess.run([sys.executable, SCRIPT], env=env, check=True, capture_output=True, text=True).stdout
    read = subprocess.run(["sh", "-c", f"{printed}\nenv -0"], check=True, capture_output=True, text=True, env=variables)
    return dict(line.split("=", 1) for line in read.stdout.split("\0") if line.startswith(("UV_", "SSL_")))


def test_an_index_and_folders_of_pips_file_are_uvs(tmp_path):
    found = settings(tmp_path, "[global]\nindex-url = https://a.example/simple\nfind-links =\n  /one\n  /two words\n")
    assert found["UV_DEFAULT_INDEX"] == "https://a.example/simple" and found["UV_FIND_LINKS"].startswith("/one,")


def test_pips_variables_go_before_its_file_and_uvs_before_both(tmp_path):
    file = "[global]\nindex-url = https://file.example\ncert = /file.pem\n"
    found = settings(tmp_path, file, PIP_INDEX_URL="https://variable.example", SSL_CERT_FILE="/mine.pem")
    assert found["UV_DEFAULT_INDEX"] == "https://variable.example" and found["SSL_CERT_FILE"] == "/mine.pem"


def test_two_indices_are_asked_for_the_best_version_as_pip_does(tmp_path):
    found = settings(tmp_path, "[global]\nextra-index-url = https://b.example https://c.example\n")
    assert found["UV_INDEX"] == "https://b.example https://c.example"
    assert found["UV_INDEX_STRATEGY"] == "unsafe-best-match"


def test_without_such_settings_nothing_is_set(tmp_path):
    assert settings(tmp_path, "", PIP_CONFIG_FILE=os.devnull, PIP_DEFAULT_TIMEOUT="60") == {}
