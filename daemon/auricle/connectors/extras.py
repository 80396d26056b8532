"""A connector needs packages that Auricle itself does without; what is missing is one line, with the command that
brings it."""

from __future__ import annotations

import shlex
import sys
from importlib import import_module
from typing import Any

from auricle.errors import MissingError


def bring(extra: str, module: str, what: str | None = None) -> Any:
    """Import a module that an extra of Auricle brings.

    Args:
        what: needs it; the bridge of the extra's name unless told.

    Raises:
        MissingError: the extra is not installed.
    """
    try:
        return import_module(module)
    except ImportError as e:
        package = (e.name or module).partition(".")[0]
        command = f"{shlex.quote(sys.executable)} -m pip install 'auricle[{extra}]'"
        raise MissingError(f"{what or f'bridge {extra}'}: the Python package {package} is missing; {command}") from None
