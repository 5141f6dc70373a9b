"""The user's own functions, which travel as source text: part of the cache key, and at hand in any executor, even in a pod."""

from __future__ import annotations

import ast
import hashlib
import linecache
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.errors import ConfigError


@dataclass(frozen=True)
class UserFunction:
    """A function in a file.

    Attributes:
      file: the file's name, without its folder, so that a project can be moved.
      function: the function's name.
      source: the text of the whole file.
    """

    file: str
    function: str
    source: str

    @classmethod
    def read(cls, field: str, reference: str) -> UserFunction:
        """Reads a function's file and checks that the function is there, without running anything.

        Args:
          field: the field of the configuration that names the function, for error messages.
          reference: the field's value, the path of the file, a colon, the function's name.

        Raises:
          ConfigError: the file cannot be read or is not Python, or has no such function.
        """
        file, _, function = reference.rpartition(":")
        path = Path(file)
        try:
            source = path.read_text(encoding="utf-8")
            tree = ast.parse(source, filename=str(path))
        except OSError as error:
            raise ConfigError(
                "The file with your own code cannot be read.",
                where=f"{field}: {reference}",
                expected=f"a Python file at {path}",
                seen=error.strerror or str(error),
                fix="The path is relative to the configuration's folder.",
            ) from error
        except (SyntaxError, ValueError) as error:
            line = f"{path}, line {error.lineno}" if isinstance(error, SyntaxError) else str(path)
            raise ConfigError(
                "Your own code is not valid Python.", where=f"{field}: {line}", expected="a Python file", seen=str(error)
            ) from error
        functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        if function not in functions:
            raise ConfigError(
                f"{path.name} has no function {function!r}.",
                where=f"{field}: {reference}",
                expected=f"def {function}(...) at the top level of {path}",
                seen=f"functions: {', '.join(functions) or 'none'}",
            )
        return cls(path.name, function, source)

    def load(self) -> Callable[..., Any]:
        """Runs the file's text as a module and returns the function.

        Raises:
          ConfigError: the module itself fails, for instance on an import.
        """
        name = f"conveyor_user_code_{hashlib.sha256(self.source.encode()).hexdigest()[:16]}"
        if name not in sys.modules:
            file = f"<{self.file}>"
            module = ModuleType(name)
            module.__file__ = file
            # For tracebacks and inspect.getsource, of which AutoGraph makes use.
            linecache.cache[file] = (len(self.source), None, self.source.splitlines(keepends=True), file)
            sys.modules[name] = module
            try:
                exec(compile(self.source, file, "exec"), module.__dict__)
            except Exception as error:
                del sys.modules[name]
                raise ConfigError(
                    "Your own code fails while it is loaded.",
                    where=self.file,
                    seen=f"{type(error).__name__}: {error}",
                    fix="The file may import installed packages only, not files beside it.",
                ) from error
        function: Callable[..., Any] = getattr(sys.modules[name], self.function)
        return function
