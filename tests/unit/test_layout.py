"""Where everything lives: arrows run one way, and a name means one thing. What breaks a rule is told by file and import."""

import ast
import functools
import importlib.util
import re
from collections import defaultdict
from pathlib import Path

import pytest

import spike_ctrl

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SOURCES, PLUG_INS = ROOT / "src", ROOT / "plug_ins"
LIBRARY = SOURCES / "spike_ctrl" / "spike_ctrl"
# The packages of the library, lowest first: each imports only those before it. docs/architecture.md says what they are.
ORDER = (
    "_files", "plug_ins", "airframe", "snn", "sim", "policy", "control", "evaluation", "flight", "learn", "px4",
    "simulated_px4", "recordings", "certification", "launching", "report", "cli",
)  # fmt: skip
NODES = ("flight", "guide", "learner", "policy", "record", "sim")
ADDED = tuple(sorted(path.name for path in PLUG_INS.iterdir()))
DRAWERS = ("utils", "helpers", "common", "misc", "tools", "shared")  # names that hold everything, and so say nothing
FILES = sorted(file for file in SOURCES.rglob("*.py") if file.name != "setup.py")
OF_PLUG_INS = sorted(file for file in PLUG_INS.glob("*/spike_ctrl_*/**/*.py"))


@functools.cache
def parsed(text: str) -> tuple[list[tuple[int, str]], list[str]]:
    """Line and dotted name of every import, wherever in the file; of `from a import b` it is a.b. The names of classes."""
    found, classes = [], []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, name.name) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: a relative import hides where it leads"
            found += [(node.lineno, f"{node.module}.{name.name}") for name in node.names]
        elif isinstance(node, ast.ClassDef):
            classes.append(node.name)
    return found, classes


def imported(text: str) -> list[tuple[int, str]]:
    return parsed(text)[0]


def upward(package: str, text: str) -> list[str]:
    """The imports of a file in a package of the library that lead to a package above it, or to another top package."""
    found = []
    for line, name in imported(text):
        top, _, rest = name.partition(".")
        if top.startswith("spike_ctrl_"):
            found.append(f"line {line}: {name}: the library imports no node, no message and no plug-in")
        to = rest.partition(".")[0]
        if top == "spike_ctrl" and (not to or to in spike_ctrl.__all__):
            found.append(f"line {line}: {name}: the public face lies above everything; import from the file that it shows")
        if top == "spike_ctrl" and to in ORDER and ORDER.index(to) > ORDER.index(package):
            found.append(f"line {line}: {name}: {to} lies above {package}")
    return found


def shown(file: Path) -> str:
    return str(file.relative_to(ROOT))


def test_no_file_of_the_library_imports_what_lies_above_it():
    broken = {}
    for file in FILES:
        package = file.relative_to(SOURCES).parts[2].removesuffix(".py") if file.is_relative_to(LIBRARY) else "__init__"
        if package != "__init__":  # the public face shows what lies below, and imports it when it is asked for
            assert package in ORDER, f"{shown(file)}: {package} is not in the order that says what it may import"
            broken[shown(file)] = upward(package, file.read_text())
    assert len(broken) > 100 and not {file: found for file, found in broken.items() if found}


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("flight", "from spike_ctrl.learn import recipe"),
        ("learn", "import spike_ctrl.report.page"),
        ("learn", "def late():\n    from spike_ctrl import report"),
        ("report", "from spike_ctrl.cli import main"),
        ("_files", "from spike_ctrl.airframe import Airframe"),
        ("cli", "from spike_ctrl_studies import study"),
        ("report", "def late():\n    import spike_ctrl_view.film_canvas"),
        ("evaluation", "import spike_ctrl"),
        ("evaluation", "from spike_ctrl import load_policy"),
        ("sim", "import spike_ctrl_msgs.msg"),
    ],
)
def test_an_arrow_upward_is_seen_wherever_it_stands(package, line):
    assert upward(package, line)


def test_nothing_in_the_core_imports_a_plug_in_and_no_node_imports_another():
    broken = []
    for file in FILES:
        others = {f"spike_ctrl_{name}" for name in (*NODES, *ADDED)} - {file.relative_to(SOURCES).parts[0]}
        broken += [
            f"{shown(file)}: line {line}: {name}"
            for line, name in imported(file.read_text())
            if name.partition(".")[0] in others
        ]
    assert not broken


def test_a_plug_in_imports_only_the_plug_ins_that_its_package_asks_for():
    broken = []
    for file in OF_PLUG_INS:
        name = file.relative_to(PLUG_INS).parts[0]
        asked = (PLUG_INS / name / "pyproject.toml").read_text()
        broken += [
            f"{shown(file)}: line {line}: {imported_name}"
            for line, imported_name in imported(file.read_text())
            if (top := imported_name.partition(".")[0]).removeprefix("spike_ctrl_") in set(ADDED) - {name}
            and f'"{top}==' not in asked
        ]
    assert len(OF_PLUG_INS) > 80 and not broken


def test_a_file_name_is_used_once():
    """But for __init__, and for a verb of the command line, which is named as what it does."""
    files = defaultdict(list)
    for file in (*FILES, *OF_PLUG_INS):
        if file.name != "__init__.py" and file.parent != LIBRARY / "cli":
            files[file.name].append(shown(file))
    assert not {name: found for name, found in files.items() if len(found) > 1}


def test_a_class_name_is_used_once():
    """But for `Parameters`, those that a node declares: one class in each node."""
    classes = defaultdict(list)
    for file in (*FILES, *OF_PLUG_INS):
        _, names = parsed(file.read_text())
        assert names.count("Parameters") <= file.stem.endswith("_node"), shown(file)
        for name in names:
            if not name.startswith("_") and name != "Parameters":
                classes[name].append(shown(file))
    assert not {name: found for name, found in classes.items() if len(found) > 1}


def test_every_file_that_the_architecture_page_names_is_there():
    page = (SOURCES.parent / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`([\w/]+\.py)`", page))
    places = (ROOT, SOURCES, LIBRARY, LIBRARY / "cli", *PLUG_INS.iterdir())
    assert len(named) > 40 and not [name for name in named if not any((place / name).is_file() for place in places)]


def test_the_architecture_page_shows_the_packages_in_the_order_of_the_arrows():
    page = (SOURCES.parent / "docs" / "architecture.md").read_text()
    table = page[page.index("| package | what it is |") : page.index("In addition to the library")]
    assert tuple(name.removesuffix(".py") for name in re.findall(r"^\| `([\w.]+)` \|", table, re.MULTILINE)) == ORDER


def test_no_module_is_a_drawer_for_everything():
    files = (*FILES, *OF_PLUG_INS)
    assert not [shown(file) for file in files if {file.stem, *file.relative_to(ROOT).parts[:-1]} & set(DRAWERS)]


def test_the_drawing_of_the_packages_is_that_of_the_sources_and_has_each_once():
    specification = importlib.util.spec_from_file_location("house", SOURCES.parent / "docs" / "house.py")
    house = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(house)
    drawn = (SOURCES.parent / "docs" / "house.svg").read_text()
    assert drawn == house.svg(), "make reference"
    assert sorted(re.findall(r'"name"[^>]*>(\w+)<', drawn)) == sorted([*ORDER, "nodes", *ADDED])
    assert all(house.floor(low) < house.floor(name) for name in ORDER for low in house.imported(name))
