"""What the packages, the requirements and the files for GitHub say of themselves agrees."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import spike_ctrl

ROOT = Path(__file__).parents[2]
PLACES = {path.parent.name: path.parent for path in ROOT.glob("src/*/package.xml")}
PLACES |= {f"spike_ctrl_{path.parent.name}": path.parent for path in ROOT.glob("plug_ins/*/package.xml")}
PACKAGES = sorted(PLACES)
GITHUB = ROOT / ".github"


def manifest(package):
    """The text of pyproject.toml; tomllib is newer than the oldest Python that we run on."""
    return (PLACES[package] / "pyproject.toml").read_text()


def named(requirements):
    return {re.split(r"[\[=;<> ]", line)[0] for line in requirements if line and not line.startswith(("#", "-"))}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_has_the_version_of_the_library(package):
    assert ET.parse(PLACES[package] / "package.xml").findtext("version") == spike_ctrl.__version__
    if package != "spike_ctrl_msgs":
        assert f'\nversion = "{spike_ctrl.__version__}"\n' in manifest(package)


def test_the_citation_is_of_this_version_and_of_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0" and citation["version"] == spike_ctrl.__version__
    assert citation["title"] and citation["message"] and citation["authors"]
    assert citation["references"][0]["identifiers"][0]["value"] == "arXiv:2510.24461"


@pytest.mark.parametrize("extra", ["benchmark", "record", "train", "studies", "watch", "export", "test", "dev"])
def test_what_an_extra_asks_for_has_a_pinned_version(extra):
    """ray and the libraries of `make bench` are installed by those who use them."""
    asked = re.search(rf"^{extra} = \[(.*)\]$", manifest("spike_ctrl"), re.MULTILINE)[1]
    pinned = set()
    for path in ROOT.glob("requirements/*.txt"):
        pinned |= named(path.read_text().splitlines())
    assert named(re.findall(r'"(.*?)"', asked)) <= pinned


@pytest.mark.parametrize("form", sorted(path.name for path in GITHUB.glob("ISSUE_TEMPLATE/*.yml")))
def test_an_issue_form_asks_with_an_identity_and_a_label(form):
    read = yaml.safe_load((GITHUB / "ISSUE_TEMPLATE" / form).read_text())
    if form == "config.yml":
        return
    assert read["name"] and read["description"]
    questions = [part for part in read["body"] if part["type"] != "markdown"]
    assert len({part["id"] for part in questions}) == len(questions) > 0
    assert all(part["attributes"]["label"] for part in questions)


def test_the_workflow_and_the_hooks_run_what_the_makefile_runs():
    makefile = (ROOT / "Makefile").read_text()
    jobs = yaml.safe_load((GITHUB / "workflows" / "ci.yml").read_text())["jobs"]
    runs = [step["run"].split() for job in jobs.values() for step in job["steps"] if "run" in step]
    targets = [words[1] for words in runs if words[0] == "make"]
    assert {"setup", "lint", "test", "docs"} <= set(targets)
    assert all(f"\n{target}:" in makefile for target in targets)
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"]
    assert all(f"$(VENV)/bin/{hook['entry'].split(' --')[0]}" in makefile for hook in hooks[0]["hooks"])


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_the_lock_files_of_a_python_hold_what_is_required_and_the_hashes_of_its_files(python):
    locked: dict[str, str] = {}
    for path in (ROOT / "requirements" / "lock" / python).glob("*.txt"):
        text = path.read_text()
        assert "//" not in text  # no address of an index
        for package in re.split(r"\n(?=\S)", text.strip()):
            name, version = re.match(r"([a-z0-9-]+)==(\S+)", package).groups()
            assert re.findall(r"--hash=sha256:[0-9a-f]{64}\b", package), name
            assert locked.setdefault(name, version) == version
    for group in ("flight", "train", "torch", "experiment", "test", "lint", "docs"):
        for line in (ROOT / "requirements" / f"{group}.txt").read_text().splitlines():
            if not line or line.startswith(("#", "-")):
                continue
            wanted = Requirement(line)
            if wanted.marker is None or wanted.marker.evaluate({"python_version": python}):
                assert locked[canonicalize_name(wanted.name)] in wanted.specifier, line
