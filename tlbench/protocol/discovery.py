"""Finds learners, methods and suites: in the installed rooms, through entry points, or in a file. Nothing is listed."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import json
import pkgutil
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

from tlbench.protocol.errors import TlbenchError
from tlbench.protocol.interface import JSONValue, Learner, Method
from tlbench.protocol.records import CONTROL_PREFIX, IDENTIFIER
from tlbench.protocol.sealing import sealed
from tlbench.protocol.specs import SuiteSpec, load_suite, parse_suite

BASELINES, TASKS = "tlbench.baselines", "tlbench.tasks"


@dataclass(frozen=True)
class MethodEntry:
    """A named method: a class, the settings that make it this variant, and the learner it uses.

    Attributes:
        id: The canonical id.
        cls: The class.
        learner: Id of the learner, or ``None`` if the method uses none.
        preset: Configuration values of this variant.
        code: SHA-256 of the file, if the method was loaded from one.
    """

    id: str
    cls: type[Method]
    learner: str | None
    preset: Mapping[str, JSONValue]
    code: str | None = None

    @property
    def summary(self) -> str:
        """First line of the class's docstring, and the settings that make it this variant."""
        line = (inspect.getdoc(self.cls) or "").partition("\n")[0]
        settings = ", ".join(f"{key}={json.dumps(value)}" for key, value in self.preset.items())
        return f"{line.removesuffix('.')} ({settings})." if settings else line


_from_files: dict[str, tuple[Learner, str]] = {}
"""Learners that came with a method's file, and the file's SHA-256."""


def learners() -> Mapping[str, Learner]:
    """All learners by id, those of the method files that were loaded included."""
    return {**_installed_learners(), **{name: learner for name, (learner, _) in _from_files.items()}}


def learner_code(name: str) -> str | None:
    """SHA-256 of the file that a learner was loaded from, ``None`` if it is installed."""
    return _from_files[name][1] if name in _from_files else None


@cache
def _installed_learners() -> Mapping[str, Learner]:
    found: dict[str, Learner] = {}
    for cls in _classes(BASELINES, "tlbench.learners", Learner):
        _add(found, cls.id, cls(), "learner")
    return dict(sorted(found.items()))


def methods() -> Mapping[str, MethodEntry]:
    """All methods by canonical id."""
    return _methods(tuple(learners()))


@cache
def _methods(known_learners: tuple[str, ...]) -> Mapping[str, MethodEntry]:
    del known_learners  # methods are made for each
    found: dict[str, MethodEntry] = {}
    for cls in _classes(BASELINES, "tlbench.methods", Method):
        for entry in variants_of(cls):
            _add(found, entry.id, entry, "method")
    return dict(sorted(found.items()))


def aliases() -> Mapping[str, str]:
    """Short names of methods, such as ``spam`` for ``spam-vpg``."""
    return {alias: target for entry in methods().values() for alias, target in entry.cls.aliases.items()}


@cache
def suites() -> Mapping[str, SuiteSpec]:
    """All suites by id (``classic-v1``), as installed or given by entry points."""
    import_environments()
    found: dict[str, SuiteSpec] = {}
    for resource in files(TASKS).iterdir():
        if resource.name.endswith(".toml"):
            suite = parse_suite(resource.read_text(encoding="utf-8"), resource.name)
            _add(found, suite.id, suite, "suite")
    for loaded in _entry_points("tlbench.suites"):
        suite = loaded if isinstance(loaded, SuiteSpec) else load_suite(Path(str(loaded)))
        _add(found, suite.id, suite, "suite")
    return dict(sorted(found.items()))


def _newest(name: str, known: Iterable[SuiteSpec]) -> SuiteSpec | None:
    return max((suite for suite in known if suite.name == name), key=lambda suite: suite.version, default=None)


def newer_version(suite: SuiteSpec, known: Iterable[SuiteSpec] | None = None) -> SuiteSpec | None:
    """The newest version that corrects this suite, or ``None``.

    Args:
        suite: The suite.
        known: Where to look; by default all that are installed.
    """
    newest = _newest(suite.name, suites().values() if known is None else known)
    return newest if newest is not None and newest.version > suite.version else None


def find_suite(name: str) -> SuiteSpec:
    """The suite of that id, the newest version of that name, or the suite in that TOML file.

    Raises:
        TlbenchError: If there is none; the closest names are suggested.
    """
    if name.endswith(".toml"):
        import_environments()
        return load_suite(Path(name))
    known = suites()
    if name in known:
        return known[name]
    newest = _newest(name, known.values())
    if newest is not None:
        return newest
    raise TlbenchError(f"unknown suite {name!r}{_suggest(name, [*known, *(s.name for s in known.values())])}")


def find_method(name: str) -> MethodEntry:
    """The method of that id or alias, or the one in ``path/to/file.py[:Class]``.

    Raises:
        TlbenchError: If there is none; the closest names are suggested.
    """
    path, _, class_name = name.partition(":")
    if path.endswith(".py"):
        return _method_in_file(Path(path), class_name)
    known = methods()
    canonical = aliases().get(name, name)
    if canonical in known:
        return known[canonical]
    hint = _suggest(name, [*known, *aliases()])
    raise TlbenchError(f"unknown method {name!r}{hint}; a method of your own: --method path/to/file.py[:Class]")


def variants_of(cls: type[Method], code: str | None = None) -> Iterator[MethodEntry]:
    """The named methods that a class stands for.

    Raises:
        TlbenchError: If an id is none, as it names files and rows, or is kept for controls.
    """
    variants = cls.variants or {cls.id: {}}
    for template, preset in variants.items():
        every = cls.learners if cls.learners is not None else tuple(learners())
        for learner in every if "{learner}" in str(template) else every[:1] if cls.learners else (None,):
            name = str(template).replace("{learner}", learner or "")
            if not isinstance(template, str) or not IDENTIFIER.fullmatch(name):
                kinds = "letters, digits and hyphens, at most 80"
                raise TlbenchError(f"{cls.__name__}: the id {template!r} must be {kinds}")
            if name.startswith(CONTROL_PREFIX) and name != f"{CONTROL_PREFIX}{learner}":
                kept = f"ids that begin with {CONTROL_PREFIX} are kept for learners from scratch"
                raise TlbenchError(f"{cls.__name__}: the id {name!r} is none: {kept}; call it otherwise")
            yield MethodEntry(name, cls, learner, preset, code)


@cache
def import_environments() -> None:
    """Import every module of environments, so that they register themselves with Gymnasium; plugins' suites, too."""
    for _ in (*_modules(f"{TASKS}.environments"), *_entry_points("tlbench.suites")):
        pass


def _modules(package: str) -> Iterator[ModuleType]:
    root = importlib.import_module(package)
    yield root
    for info in pkgutil.walk_packages(root.__path__, f"{package}."):
        yield importlib.import_module(info.name)


def _classes(package: str, group: str, base: type[Any]) -> Iterator[type[Any]]:
    for module in _modules(package):
        yield from _concrete(module, base)
    for loaded in _entry_points(group):
        if isinstance(loaded, type) and issubclass(loaded, base):
            yield loaded
        else:
            warnings.warn(f"entry point of {group} is no {base.__name__} class: {loaded!r}", stacklevel=2)


def _concrete(module: ModuleType, base: type[Any]) -> Iterator[type[Any]]:
    for cls in vars(module).values():
        own = isinstance(cls, type) and issubclass(cls, base) and cls.__module__ == module.__name__
        if own and not inspect.isabstract(cls) and (getattr(cls, "id", None) or getattr(cls, "variants", None)):
            yield cls


def _entry_points(group: str) -> Iterator[Any]:
    for point in entry_points(group=group):
        try:
            yield point.load()
        except Exception as error:  # a broken plugin must not take tlbench down with it
            warnings.warn(f"the plugin {point.name} ({point.value}) can't be loaded: {error!r}", stacklevel=2)


def _method_in_file(path: Path, class_name: str) -> MethodEntry:
    try:
        code = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise TlbenchError(f"can't read the method file {path}: {error.strerror}") from None
    module_name = f"tlbench_method_{code[:16]}"
    module = sys.modules.get(module_name)
    if module is None:
        spec = importlib.util.spec_from_file_location(module_name, path.resolve())
        if spec is None or spec.loader is None:
            raise TlbenchError(f"{path} is no Python file")
        module = sys.modules[module_name] = importlib.util.module_from_spec(spec)
        try:
            with sealed():  # nothing may be built here that a run would step unmetered
                spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[module_name]
            problem = str(error).partition("\n")[0]
            raise TlbenchError(f"{path} can't be imported: {type(error).__name__}: {problem}") from error
    for learner in _concrete(module, Learner):
        if learner.id in _installed_learners():
            raise TlbenchError(f"{path}: there is a learner called {learner.id!r} already; give yours another id")
        _from_files[learner.id] = (learner(), code)
    found = {cls.__name__: cls for cls in _concrete(module, Method)}
    if class_name and class_name not in found:
        raise TlbenchError(f"{path} has no method class {class_name!r}; it has: {', '.join(found) or 'none'}")
    if not class_name and len(found) != 1:
        what = f"{len(found)} method classes ({', '.join(found)}): name one, {path}:Class" if found else "no method"
        raise TlbenchError(f"{path} has {what}; a method derives from tlbench.Method and has an id")
    cls = found[class_name] if class_name else next(iter(found.values()))
    entries = list(variants_of(cls, code))
    if len(entries) != 1:
        names = ", ".join(entry.id for entry in entries) or "none"
        raise TlbenchError(
            f"{path}:{cls.__name__} stands for several methods ({names}): give it one id and one learner"
        )
    return entries[0]


def _add(found: dict[str, Any], name: str, value: Any, kind: str) -> None:
    if name in found:
        raise TlbenchError(f"two {kind}s are called {name!r}: {found[name]!r} and {value!r}")
    found[name] = value


def _suggest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, sorted(set(known)), n=3, cutoff=0.4)
    names = ", ".join(close or sorted(set(known)))
    return f"; did you mean {names}?" if close else f"; known: {names}"
