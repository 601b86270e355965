"""Pages of the site that are not in docs/: README and its neighbours, examples/, and a Python reference from the docstrings.

MkDocs calls the functions below (mkdocs.yml, `hooks`). A link to another file of the repository leads to a copy of it.
"""

import ast
import posixpath
import re
from pathlib import Path

import nbformat
import notebooks
import site_docstrings
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "src" / "spike_ctrl" / "spike_ctrl"
PAGES = {  # by the file in the repository
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security_policy.md",
    "CHANGELOG.md": "changelog.md",
    "models/README.md": "models.md",
}
COPIES = "files"
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?\)")


def on_config(config):
    for section in config.nav:
        if "Extend" in section:
            pages = [{example.stem: page_of(example)} for example in examples()]
            section["Extend"].append({"Examples": ["examples/index.md", *pages]})
        if "Reference" in section:
            pages = [{name_of(package): page_of(package)} for package in packages()]
            section["Reference"].append({"Python": ["python/index.md", *pages]})
    config.watch += [str(LIBRARY), str(ROOT / "examples")]
    return config


def on_files(files, config):
    texts = {page: (ROOT / path).read_text() for path, page in PAGES.items()}
    texts |= {page_of(example): example_page(example) for example in examples()}
    texts |= {page_of(package): package_page(package) for package in packages()}
    texts |= {"python/index.md": face_page(), "examples/index.md": examples_page()}
    for page, text in texts.items():
        files.append(File.generated(config, page, content=text))
    for page in notebooks.PAGES:
        text = nbformat.writes(notebooks.notebook(page))
        files.append(File.generated(config, f"{page.stem}.ipynb", content=text))
    for page in files.documentation_pages():
        for path in sorted(linked(page.src_uri, page.content_string)):
            if place_of(path).startswith(COPIES):
                files.append(File.generated(config, place_of(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown, page, config, files):
    """The links of a page, from where its file lies in the repository to where the page lies in the site."""
    here = page.file.src_uri

    def moved(link) -> str:
        target = posixpath.relpath(place_of(resolved(here, link[1])), posixpath.dirname(here) or ".")
        return f"]({target}{link[2] or ''})"

    if (notebook := f"{posixpath.splitext(here)[0]}.ipynb") in files.src_uris:
        title, _, rest = markdown.partition("\n")
        markdown = f"{title}\n\nAs a Jupyter notebook: [{notebook}]({notebook})\n{rest}"
    return LINK.sub(moved, markdown)


# --- where files lie in the site ------------------------------------------------------------------------------------


def linked(page: str, text: str) -> set[str]:
    """Files of the repository that the page links to."""
    return {path for path in (resolved(page, link[1]) for link in LINK.finditer(text)) if (ROOT / path).is_file()}


def resolved(page: str, link: str) -> str:
    """The file in the repository that a link of this page means."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(source_of(page)), link))


def source_of(page: str) -> str:
    named = {page: path for path, page in PAGES.items()} | {page_of(example): str(example) for example in examples()}
    return named.get(page, f"docs/{page}")


def place_of(path: str) -> str:
    """Where a file of the repository lies in the site."""
    if path in PAGES:
        return PAGES[path]
    if path == "examples":
        return "examples/index.md"
    if Path(path) in examples():
        return page_of(Path(path))
    return path.removeprefix("docs/") if path.startswith("docs/") else f"{COPIES}/{path.lstrip('.')}"


# --- examples -------------------------------------------------------------------------------------------------------

EXAMPLES = """# Examples

Each runs from the root of the repository, and the tests run each. Copy the one that is closest to what you want.

{table}
"""


def examples() -> list[Path]:
    return [path.relative_to(ROOT) for path in sorted((ROOT / "examples").glob("[!_]*.py"))]


def examples_page() -> str:
    rows = [f"| [{path.stem}]({path.stem}.md) | {docstring(path).partition(chr(10))[0]} |" for path in examples()]
    return EXAMPLES.format(table="\n".join(["| example | what it shows |", "|---|---|", *rows]))


def example_page(path: Path) -> str:
    """The docstring as text under its first line, then the code, then the recipe of the same name."""
    title, _, rest = docstring(path).partition("\n")
    about = ast.parse((ROOT / path).read_text()).body[0]
    code = "\n".join((ROOT / path).read_text().splitlines()[about.end_lineno :]).strip("\n")
    page = f'# {title}\n{site_docstrings.markdown(rest)}\n\n```python title="{path}"\n{code}\n```\n'
    recipe = path.with_suffix(".yaml")
    if (ROOT / recipe).is_file():
        page += f'\n```yaml title="{recipe}"\n{(ROOT / recipe).read_text()}```\n'
    return page


def docstring(path: Path) -> str:
    """Of a file in the repository. Raises ValueError where it has none: the page would have no title."""
    text = ast.get_docstring(ast.parse((ROOT / path).read_text()))
    if text is None:
        raise ValueError(f"{path}: found no docstring, wanted one whose first line is the title of its page")
    return text


# --- Python reference -----------------------------------------------------------------------------------------------

FACE = """# Python

`import spike_ctrl` gives what most programs need. The packages below hold the rest.

{table}

::: spike_ctrl
"""


def packages() -> list[Path]:
    """Packages of the library, and its modules that lie in none, less what is private."""
    found = [path.parent for path in LIBRARY.glob("*/__init__.py")] + list(LIBRARY.glob("*.py"))
    return [path.relative_to(ROOT) for path in sorted(found) if not path.name.startswith("_")]


def name_of(package: Path) -> str:
    return f"{LIBRARY.name}.{package.stem}"


def face_page() -> str:
    rows = [f"| [{name_of(package)}]({package.stem}.md) | {summary(package)} |" for package in packages()]
    return FACE.format(table="\n".join(["| package | what it holds |", "|---|---|", *rows]))


def summary(package: Path) -> str:
    """The first paragraph of a package's docstring."""
    text = docstring(package / "__init__.py" if (ROOT / package).is_dir() else package)
    return " ".join(text.partition("\n\n")[0].split())


def package_page(package: Path) -> str:
    modules = [f"{name_of(package)}.{path.stem}" for path in sorted((ROOT / package).glob("[!_]*.py"))]
    head = f"::: {name_of(package)}\n    options: {{heading_level: 1}}\n"
    return "\n".join([head, *(f"::: {module}\n" for module in modules)])


def page_of(path: Path) -> str:
    """The page of an example, or of a package or module of the library."""
    return f"{'python' if path.parts[0] == 'src' else 'examples'}/{path.stem}.md"
