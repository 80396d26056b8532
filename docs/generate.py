"""Every file of the repository that is made from declarations is written here, and named where it changed: `make docs`.

What is written is decided where it is declared; here it only says where each goes. Figures are not made here: they are
measured (`make bench`, the reports of `auricle-build`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from auricle.config import show
from auricle.messages import topics
from auricle.model import reference
from auricle_build.grammar import table

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- generated -->\n", "<!-- /generated -->\n"
"""What lies between the two lines in a page is made; all else in it is written by hand."""


def generated() -> Iterator[tuple[Path, str]]:
    """Yield every file with a part that is made, and the whole text that it should have."""
    yield topics.SCHEMA, topics.schema_text()
    yield ROOT / "config" / "auricle.yaml", show.example()
    parts = {
        "messages.md": topics.page,
        "configuration.md": show.table,
        "models.md": table.table,
        "bring-your-own.md": reference.table,
    }
    for name, make in parts.items():
        page = ROOT / "docs" / name
        yield page, filled(page.read_text(encoding="utf-8"), make())


def filled(page: str, part: str) -> str:
    """Return the page with this part between its two lines.

    Raises:
        ValueError: the page has not each of the two lines once, in this order.
    """
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}{part}{END}{after}"


def main() -> None:
    """Write the files that differ."""
    for path, text in generated():
        if path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"written: {path}")


if __name__ == "__main__":
    main()
