"""The pages for users are short: few words, short table cells, and a README of one page."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = {  # pages of the site that lie outside docs/
    "index.md": "README.md",
    "models.md": "models/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "security_policy.md": "SECURITY.md",
}
REFERENCE = {"parameters.md", "messages.md", "fault_codes.md", "faults.md", "flight_settings.md"}  # looked up
REFERENCE |= {"what_can_fail.md", "changelog.md", "architecture.md"}


def listed(entry) -> list[str]:
    """The pages of a branch of the site's navigation."""
    if isinstance(entry, str):
        return [entry]
    branches = entry.values() if isinstance(entry, dict) else entry
    return [page for branch in branches for page in listed(branch)]


NAVIGATION = set(listed(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
PAGES = sorted(page for page in NAVIGATION - REFERENCE if not page.startswith("notebook/"))


def text_of(page: str) -> str:
    """A page without listings, and its links without their addresses."""
    text = (ROOT / ELSEWHERE.get(page, f"docs/{page}")).read_text()
    return re.sub(r"\]\([^)]*\)", "]", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE))


def words(text: str) -> int:
    return sum(any(letter.isalnum() for letter in word) for word in text.split())


def cells(text: str) -> list[str]:
    rows = [line.strip().strip("|") for line in text.splitlines() if line.strip().startswith("|")]
    return [cell.strip() for row in rows for cell in row.split("|")]


def paragraphs(text: str) -> list[str]:
    """Of a page: what stands between empty lines, each item of a list by itself, tables left out."""
    text = re.sub(r"^> ?", "", text, flags=re.MULTILINE)
    blocks = [part for block in text.split("\n\n") for part in re.split(r"^(?=- )", block, flags=re.MULTILINE)]
    return [block for block in blocks if not block.lstrip().startswith("|")]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_for_users_has_at_most_1500_words_and_cells_of_25(page):
    text = text_of(page)
    assert words(text) <= 1500
    assert not [cell for cell in cells(text) if words(cell) > 25]


def test_the_readme_is_one_page_of_short_paragraphs():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130
    assert not [paragraph for paragraph in paragraphs(text_of("index.md")) if words(paragraph) > 60]


def test_the_readme_begins_with_the_clone_and_trains_before_it_explains():
    text = (ROOT / "README.md").read_text()
    first = re.search(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[1].splitlines()
    commands = [line.removeprefix("$ ") for line in first if line.startswith("$ ")]
    assert [command.split()[:2] for command in commands[:2]] == [["git", "clone"], ["make", "setup"]]
    assert any(command.startswith("spike-ctrl train") for command in commands)
