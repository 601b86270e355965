"""What the documentation says is there: links, files, keys of an airframe, arguments of commands."""

import dataclasses
import re
from pathlib import Path

import pytest
import yaml

from spike_ctrl import airframe

ROOT = Path(__file__).resolve().parents[2]
PAGES = {str(page.relative_to(ROOT)): page for page in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_file_leads_to_one(page):
    text = PAGES[page].read_text()
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"https?:|#", link)]
    missing = [link for link in links if not (PAGES[page].parent / link.partition("#")[0]).exists()]
    assert not missing


def headings(page: Path) -> set[str]:
    """The anchors of a page, as MkDocs and GitHub make them of its headings."""
    texts = re.findall(r"^#+ (.*)", page.read_text(), re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower()) for text in texts}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_heading_leads_to_one(page):
    links = re.findall(r"\]\(([^)\s#:]*)#([^)\s]+)\)", PAGES[page].read_text())
    places = [(PAGES[page].parent / path if path else PAGES[page], anchor) for path, anchor in links]
    assert not [(str(place), anchor) for place, anchor in places if place.suffix == ".md" and anchor not in headings(place)]


def test_every_page_has_a_place_in_the_site():
    listed = (ROOT / "mkdocs.yml").read_text()
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    assert not [page for page in pages if f"- {page}\n" not in listed]


def test_the_airframe_of_the_how_to_is_one_and_every_key_is_explained():
    text = PAGES["docs/airframe.md"].read_text()
    example = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    assert airframe.from_dict(example).thrust_to_weight > 2
    explained = set(re.findall(r"`([\w.]+)`", " ".join(re.findall(r"^\| (.*?) \|", text, re.MULTILINE))))
    keys = {field.name for field in dataclasses.fields(airframe.Airframe)}
    assert keys <= explained
    rows = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if line.startswith("|")]
    for field in dataclasses.fields(airframe.Airframe):
        if "unit" in field.metadata:
            assert next(row[2] for row in rows if f"`{field.name}`" in row[1]) == field.metadata["unit"], field.name
    loop = {field.name for field in dataclasses.fields(airframe.RateLoop)}
    assert loop <= {name.removeprefix("rate_loop").removeprefix(".") for name in explained}
