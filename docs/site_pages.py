"""Pages of the site that are not in docs/: README and its neighbours, examples/, and a Python reference from the docstrings.

MkDocs calls the functions below (mkdocs.yml, `hooks`). A link to another file of the repository leads to a copy of it.
"""

import ast
import posixpath
import re
from pathlib import Path

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
            section["Extend"] += [{"Examples": [page_of(example) for example in examples()]}] if examples() else []
        if "Reference" in section:
            pages = [{name_of(package): page_of(package)} for package in packages()]
            section["Reference"].append({"Python": ["python/index.md", *pages]})
    config.watch += [str(LIBRARY), str(ROOT / "examples")]
    return config


def on_files(files, config):
    texts = {page: (ROOT / path).read_text() for path, page in PAGES.items()}
    texts |= {page_of(example): example_page(example) for example in examples()}
    texts |= {page_of(package): package_page(package) for package in packages()}
    texts["python/index.md"] = face_page()
    for page, text in texts.items():
        files.append(File.generated(config, page, content=text))
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
    if Path(path) in examples():
        return page_of(Path(path))
    return path.removeprefix("docs/") if path.startswith("docs/") else f"{COPIES}/{path.lstrip('.')}"


# --- examples -------------------------------------------------------------------------------------------------------


def examples() -> list[Path]:
    return [path.relative_to(ROOT) for path in sorted((ROOT / "examples").glob("*.py")) if not path.name.startswith("_")]


def example_page(path: Path) -> str:
    """Its docstring as text, under the first line of it, and the rest as a listing."""
    text = (ROOT / path).read_text()
    about = ast.get_docstring(tree := ast.parse(text)) or path.stem
    title, _, rest = about.partition("\n")
    code = "".join(text.splitlines(keepends=True)[tree.body[0].end_lineno :]).strip("\n")
    return f'# {title}\n{rest}\n\n```python title="{path}"\n{code}\n```\n'


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
    path = ROOT / package
    text = (path / "__init__.py" if path.is_dir() else path).read_text()
    return " ".join((ast.get_docstring(ast.parse(text)) or "").partition("\n\n")[0].split())


def package_page(package: Path) -> str:
    modules = [f"{name_of(package)}.{path.stem}" for path in sorted((ROOT / package).glob("[!_]*.py"))]
    head = f"::: {name_of(package)}\n    options: {{heading_level: 1}}\n"
    return "\n".join([head, *(f"::: {module}\n" for module in modules)])


def page_of(path: Path) -> str:
    """The page of an example, or of a package or module of the library."""
    return f"{'python' if path.parts[0] == 'src' else 'examples'}/{path.stem}.md"
