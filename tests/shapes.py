"""Checks the shapes that `mmseq` declares, at each call of a function with arrays in its annotations.

jaxtyping's own import hook does so for every function, those inside another one anew at each call of
that, and looks at arguments twice: unit tests took three times as long. Of functions without arrays
mypy knows enough.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, FunctionType, ModuleType
from typing import Any

import beartype
import jaxtyping

NAME = "__checked__"  # of `checked` in each module


def checked(declared: Any) -> Any:
    """The function or dataclass, checked at each call if its annotations have arrays."""
    if not any(map(is_of_arrays, named(declared))):
        return declared
    if not inspect.isclass(declared):
        return _checked(declared)
    made = vars(declared).get("__init__")
    if made and dataclasses.is_dataclass(declared) and inspect.unwrap(made) is made:
        declared.__init__ = _checked(made)  # type: ignore[method-assign]
    return declared


def _checked(function: Any) -> Any:
    """Calls a copy that beartype guards; axes of one name have one length within a call."""
    guarded = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    guarded.__kwdefaults__, guarded.__qualname__ = function.__kwdefaults__, function.__qualname__
    guarded.__annotations__ = {name: _meaning(a, function) for name, a in function.__annotations__.items()}
    guarded = beartype.beartype(guarded)

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        if jaxtyping.config.jaxtyping_disable:
            return function(*args, **options)
        with jaxtyping.jaxtyped("context"):
            return guarded(*args, **options)

    return call


def _meaning(annotation: Any, function: Any) -> Any:
    """Anything, where a name is there for mypy alone, or not there yet."""
    try:
        return eval(annotation, function.__globals__) if isinstance(annotation, str) else annotation
    except NameError:
        return Any


def named(declared: Any) -> Iterator[Any]:
    """What the names in its annotations stand for; a dataclass has its bases' fields too."""
    for one in inspect.getmro(declared) if inspect.isclass(declared) else (declared,):
        names = vars(sys.modules[one.__module__])
        for annotation in inspect.get_annotations(one).values():
            yield from (names.get(word) for word in re.findall(r"\w+", str(annotation)))


def is_of_arrays(value: Any) -> bool:
    """`Float` and its like, or a name given to, say, `Float[Tensor, "step"]`."""
    return isinstance(value, type) and issubclass(value, jaxtyping.AbstractArray | jaxtyping.AbstractDtype)


class _Decorated(ast.NodeTransformer):
    """Each class and function as `checked` makes it: innermost, as decorators may hide annotations."""

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        node.decorator_list.insert(0, self.decorator(node))  # sees what @dataclass made
        self.generic_visit(node)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.decorator_list.append(self.decorator(node))
        self.generic_visit(node)
        return node

    def decorator(self, node: ast.stmt) -> ast.expr:
        return ast.copy_location(ast.Name(NAME, ast.Load()), node)


class _Loader(SourceFileLoader):
    """Compiles afresh: what others keep is not decorated."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        tree = _Decorated().visit(ast.parse(self.get_data(path), path))
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        vars(module)[NAME] = checked
        super().exec_module(module)


class Checking(MetaPathFinder):
    """Finds the modules of one package, and has their shapes checked."""

    def __init__(self, package: str):
        self.package = package

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.split(".")[0] != self.package:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def check(on: bool) -> None:
    """From here on, or not."""
    jaxtyping.config.update("jaxtyping_disable", not on)


sys.meta_path.insert(0, Checking("mmseq"))
