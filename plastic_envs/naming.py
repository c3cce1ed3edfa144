"""Names of classes and other objects as text: "package.module:Name", or "path/to/file.py:Name".

A user's own call or command line may name code, which `imported` then runs. What only a file names (a saved
agent, a settings file) goes through `at_hand`, which runs nothing: the module must be imported already.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["absolute", "at_hand", "imported", "is_name", "name_of", "short_name"]

_OURS = ("plastic_envs", "plastic_agents")


def is_name(text: Any) -> bool:
    """True for a text of the form "module:Name" or "file.py:Name"."""
    module, colon, name = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    return bool(colon and module) and all(part.isidentifier() for part in name.split("."))


def absolute(name: str) -> str:
    """The name with the full path of its file; a name in a module, or one without a colon, as it is."""
    module, _, qualname = name.rpartition(":")
    return f"{Path(module).expanduser().resolve()}:{qualname}" if module.endswith(".py") else name


def short_name(name: str) -> str:
    """A short form for titles and folders: "bandit.Bandit" of "/home/me/bandit.py:Bandit"."""
    module, colon, qualname = name.rpartition(":")
    return f"{Path(module).stem if module.endswith('.py') else module}.{qualname}" if colon else name


def name_of(cls: type[Any]) -> str:
    """The name by which `imported` finds a class; of ours, the one that the package shows to users."""
    package = cls.__module__.partition(".")[0]
    if package in _OURS and getattr(sys.modules[package], cls.__qualname__, None) is cls:
        return f"{package}:{cls.__qualname__}"
    module = sys.modules.get(cls.__module__)
    return f"{getattr(module, '_FILE', cls.__module__)}:{cls.__qualname__}"


def imported(name: str) -> Any:
    """The object of that name; its module or file is run unless it is imported already.

    Raises:
        ValueError: If there is no such module, file or object, or the text has another form.
    """
    if not is_name(name):
        raise ValueError(f'{name!r}: expected "package.module:Name" or "path/to/file.py:Name".')
    module = absolute(name).rpartition(":")[0]
    if _key(module) not in sys.modules:
        try:
            _run_file(module) if module.endswith(".py") else importlib.import_module(module)
        except (ImportError, FileNotFoundError) as error:
            raise ValueError(f"{name!r} cannot be imported: {error}.") from error
    return at_hand(name)


def at_hand(name: str) -> Any:
    """The object of that name in a module or file that is imported already; nothing is run.

    Raises:
        LookupError: If its module is not imported.
        ValueError: If the module has no such object.
    """
    module, _, qualname = absolute(name).rpartition(":")
    if _key(module) not in sys.modules:
        raise LookupError(f"{name!r}: {module!r} is not imported.")
    value: Any = sys.modules[_key(module)]
    for part in qualname.split("."):
        # Of foreign modules only what lies there: a module's `__getattr__` is code.
        ours = isinstance(value, ModuleType) and value.__name__ in _OURS
        value = getattr(value, part, None) if ours else getattr(value, "__dict__", {}).get(part)
    if value is None:
        raise ValueError(f"{name!r}: {module!r} has no {qualname!r}.")
    return value


def _key(module: str) -> str:
    """Name in `sys.modules`; that of a file has no dots, which pickle takes for packages."""
    return module.replace(".", "%2E") if module.endswith(".py") else module


def _run_file(path: str) -> None:
    """Run a file as a module that knows its path; it may import its neighbours, as a script may."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path!r}")
    spec = importlib.util.spec_from_file_location(_key(path), path)
    assert spec is not None  # a file that ends in .py has a loader
    assert spec.loader is not None
    if (folder := str(Path(path).parent)) not in sys.path:
        sys.path.append(folder)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name], vars(module)["_FILE"] = module, path
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
