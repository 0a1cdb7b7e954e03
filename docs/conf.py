"""Settings of the documentation site: ``python -m sphinx -W --keep-going docs site`` makes it.

Sphinx, because MkDocs 1 is no longer maintained and Material for MkDocs ends in May 2027.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the checkout need not be installed

import nbnumba  # noqa: E402

project = "nbnumba"
author = "the nbnumba authors"
copyright = author
version = release = nbnumba.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"nbnumba {release}"
html_show_sphinx = False
exclude_patterns = ["README.md"]
myst_heading_anchors = 4  # links such as physics.md#solid-angle, as code hosts make them

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the signature has them
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_param = False  # lists, in which one line may name several parameters
napoleon_use_rtype = False
napoleon_custom_sections = [("Fields", "params_style")]

#: Pages made by long runs, which index.md names and a checkout may lack.
MAY_LACK = {"performance", "dials", "stress", "faults", "fuzzing", "contributing"}


def setup(app: Any) -> None:
    """Hooks of the site's builder."""

    def without_missing(_app: Any, name: str, source: list[str]) -> None:
        """Take pages that are not there out of the table of contents; all other names must exist."""
        if name == "index":
            missing = {page for page in MAY_LACK if not (ROOT / "docs" / f"{page}.md").exists()}
            source[0] = "\n".join(line for line in source[0].splitlines() if line not in missing)

    def fields(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
        """Attributes of a dataclass, of which one line may name several, are listed as parameters are."""
        for number, line in enumerate(lines[:-1]):
            if line.strip() == "Attributes" and set(lines[number + 1].strip()) == {"-"}:
                lines[number : number + 2] = ["Fields", "------"]

    app.connect("source-read", without_missing)
    app.connect("autodoc-process-docstring", fields, priority=400)  # before napoleon
