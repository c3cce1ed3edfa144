"""C5 and C6 of the report of faults: what is imported is declared, what is declared is imported."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import plastic_agents
import plastic_envs

ROOT = Path(__file__).parents[1]
if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
# Where the name of the distribution is another than that of the module.
DISTRIBUTION = {
    "docstring_parser": "docstring-parser",
    "mpl_toolkits": "matplotlib",
    "sklearn": "scikit-learn",
    "stable_baselines3": "stable-baselines3",
    "typing_extensions": "typing-extensions",
    "yaml": "pyyaml",
}
OURS = {"plastic_envs", "plastic_agents", "benchmarks"}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~; ]", text)[0].lower() for text in requirements}


def imported(package: str) -> set[str]:
    modules: set[str] = set()
    for file in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.partition(".")[0])
    others = modules - set(sys.stdlib_module_names) - OURS
    return {DISTRIBUTION.get(name, name) for name in others}


def test_environments_need_what_is_declared() -> None:
    allowed = names(PROJECT["dependencies"]) | names(EXTRAS["render"])
    assert imported("plastic_envs") <= allowed


def test_agents_and_runner_need_what_their_extra_declares_and_no_more() -> None:
    base, agents = names(PROJECT["dependencies"]), names(EXTRAS["agents"])
    used = imported("plastic_agents") | imported("benchmarks")
    assert used - base - names(EXTRAS["track"]) - {"neurogym"} <= agents  # neurogym: compared with, if there
    assert agents - {"tensorboard"} <= used  # torch's writer imports that


def test_all_leaves_out_the_tracker() -> None:
    assert "track" not in EXTRAS["all"][0]


def test_one_version() -> None:
    assert plastic_agents.__version__ == plastic_envs.__version__
    assert f"version: {plastic_envs.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


@pytest.mark.parametrize("missing", ["torch", "numba"])
def test_agents_without_their_extra_say_how_to_get_it(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; import plastic_agents"
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    last = process.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ImportError: plastic_agents needs {missing}")
    assert 'pip install "plastic-gym[agents]"' in last


def module_imports() -> dict[str, set[str]]:
    """What every module of the repository imports of it, in functions and for types only too."""
    files = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
        for package in OURS
        for file in (ROOT / package).rglob("*.py")
    }
    imports: dict[str, set[str]] = {name: set() for name in files}
    for name, file in files.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                parts = {f"{node.module}.{alias.name}" for alias in node.names}
                imports[name] |= (parts & set(files)) or ({node.module} & set(files))
            elif isinstance(node, ast.Import):
                imports[name] |= {alias.name for alias in node.names} & set(files)
        imports[name].discard(name)
    return imports


def test_imports_point_down_and_have_no_circles() -> None:
    """benchmarks -> plastic_agents -> plastic_envs; imports for types are counted too."""
    imports = module_imports()
    floors = ("plastic_envs", "plastic_agents", "benchmarks")
    for name, others in imports.items():
        floor = floors.index(name.partition(".")[0])
        assert all(floors.index(other.partition(".")[0]) <= floor for other in others), name
    left = dict(imports)
    while free := [name for name, others in left.items() if not others & set(left)]:
        for name in free:
            del left[name]
    assert not left, f"a circle among {sorted(left)}"


def test_no_folder_has_more_than_twenty_modules() -> None:
    folders = [file.parent for package in OURS for file in (ROOT / package).rglob("*.py")]
    assert max(folders.count(folder) for folder in set(folders)) <= 20
