"""Imports go downward only, and between modules of one layer never in a circle.

Imports inside functions count: they decide when a module is loaded, not what it depends on. Those under
`TYPE_CHECKING` do not count, they never run.
"""

import ast
from pathlib import Path

import kerazoo

LAYERS = {
    "contract": 0, "manifest": 0, "errors": 0, "packages": 0, "lazy": 0, "labels": 0, "printable": 0, "progress": 0,
    "protobuf": 0,
    "codecs": 1, "http": 1, "ops": 1, "store": 1, "seal": 1, "layers": 1,
    "assets": 2, "tasks": 2, "weights": 2,
    "applications": 3,
    "registry": 4,
    "inputs": 5, "predictor": 5, "engines": 5, "formats": 5, "sources": 5,
    "own": 6, "export": 6, "train": 6, "loading": 6, "metrics": 6, "evaluation": 6, "words": 6,
    "ranking": 6, "drawing": 6,
    "bench": 7, "doctor": 7, "prune": 7, "scale": 7, "serve": 7,
    "cli": 8, "__main__": 8,
}  # fmt: skip
"""Module or package -> layer. What is not here is refused, so that every new one is given its place."""

ROOT = Path(kerazoo.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))


def _unit(module: str) -> str:
    return module.split(".")[1]


def _name(path: Path) -> str:
    parts = ("kerazoo", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path) for path in FILES}


def _for_types(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _walk(node: ast.AST):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _for_types(child):
            for other in child.orelse:
                yield other
                yield from _walk(other)
            continue
        yield child
        yield from _walk(child)


def _imports(path: Path):
    """(module of ours, name taken from it or None, line) of every import that can run."""
    here = _name(path)
    for node in _walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "kerazoo":
                    yield alias.name, None, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{here}:{node.lineno} imports relatively; write the whole name"
            if node.module and node.module.split(".")[0] == "kerazoo":
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    yield (whole, None, node.lineno) if whole in MODULES else (node.module, alias.name, node.lineno)


def test_every_module_has_its_layer():
    units = {_unit(module) for module in MODULES if module != "kerazoo"}
    assert units <= set(LAYERS), f"without a layer: {sorted(units - set(LAYERS))}"


def test_imports_go_downward():
    upward = []
    for path in FILES:
        here = _name(path)
        if here == "kerazoo":
            continue
        for module, name, line in _imports(path):
            if module == "kerazoo":
                if name != "__version__":
                    upward.append(f"{here}:{line} takes {name} from the package's top")
            elif LAYERS[_unit(module)] > LAYERS[_unit(here)]:
                upward.append(f"{here}:{line} imports {module}, which lies higher")
    assert not upward, "\n".join(upward)


def test_the_top_runs_no_import_of_ours():
    assert not list(_imports(ROOT / "__init__.py"))


def test_no_circles():
    edges: dict[str, set[str]] = {}
    for path in FILES:
        here = _name(path)
        if here != "kerazoo":
            mine = {module for module, _, _ in _imports(path)} - {"kerazoo", here}
            # A package's own `__init__` may be imported by its modules, and may offer them.
            edges[here] = {module for module in mine if not here.startswith(f"{module}.")}
    state: dict[str, int] = {}

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert state.get(module) != 1, " -> ".join((*trail[trail.index(module) :], module))
        if module not in state:
            state[module] = 1
            for other in sorted(edges.get(module, ())):
                visit(other, (*trail, module))
            state[module] = 2

    for module in sorted(edges):
        visit(module, ())


def test_families_take_only_what_other_families_offer():
    offered = {"build", "Config", "VARIANTS", "task"}
    for path in sorted((ROOT / "applications").glob("[!_]*.py")):
        for module, name, line in _imports(path):
            other = module.removeprefix("kerazoo.applications.")
            if other != module and not other.startswith("_"):
                tree = ast.parse((ROOT / "applications" / f"{other}.py").read_text(encoding="utf-8"))
                public = next(
                    (ast.literal_eval(n.value) for n in tree.body
                     if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == "__all__"), []
                )  # fmt: skip
                assert name in offered or name in public, f"{path.name}:{line} takes {name} from {other}"
