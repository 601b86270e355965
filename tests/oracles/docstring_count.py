"""How many public names of each package of the library have a docstring.

python tests/oracles/docstring_count.py              # a line per package
python tests/oracles/docstring_count.py --missing    # also the names that have none

A public name is a module, a class, a function, a method or a property without an underscore in front, in public modules.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[2] / "src" / "spike_ctrl" / "spike_ctrl"


def public_names(source: Path) -> Iterator[tuple[str, bool]]:
    """Each public name of a module and whether it has a docstring; overloads are the function that they belong to."""
    tree = ast.parse(source.read_text())
    yield source.stem, bool(ast.get_docstring(tree))
    yield from _inside(tree, f"{source.stem}.")


def _inside(node: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, bool]]:
    for part in node.body:
        if not isinstance(part, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) or part.name.startswith("_"):
            continue
        decorators = [ast.unparse(decorator) for decorator in part.decorator_list]
        if any(decorator == "overload" or decorator.endswith(".setter") for decorator in decorators):
            continue
        yield prefix + part.name, bool(ast.get_docstring(part))
        if isinstance(part, ast.ClassDef):
            yield from _inside(part, f"{prefix}{part.name}.")


def main() -> None:
    packages: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for source in sorted(LIBRARY.rglob("*.py")):
        parts = source.relative_to(LIBRARY).parts
        if not any(part.startswith("_") for part in parts) or parts == ("__init__.py",):
            packages[parts[0] if len(parts) > 1 else "(top)"] += public_names(source)
    packages["all"] = [name for names in packages.values() for name in names]
    for package, names in packages.items():
        documented = sum(has for _, has in names)
        print(f"{package:<15}{documented:>5} of {len(names):>5}  {documented / len(names):6.1%}")
        if "--missing" in sys.argv and package != "all":
            print(*(f"    {name}" for name, has in names if not has), sep="\n")


if __name__ == "__main__":
    main()
