"""This is how the help of every command looks."""

from __future__ import annotations

from typing import Any

PLAIN: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
"""The arguments of every group of commands: help is plain text, which a terminal, a log and a pipe show alike."""
