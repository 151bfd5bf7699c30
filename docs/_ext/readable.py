"""What the theme leaves out for those who read with a keyboard or by ear."""

from __future__ import annotations

from typing import Any

MENDED = {
    "furo_navigation_tree": ('role="heading"', 'role="heading" aria-level="2"'),
    "body": ("<pre>", '<pre tabindex="0">'),  # code that is wider than the screen is scrolled with arrow keys
}
"""What stands in which part of a page, and what should."""


def setup(app: Any) -> dict[str, bool]:
    """Changes pages after the theme has made their parts."""

    def mend(_app: Any, _page: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
        for part, (left_out, whole) in MENDED.items():
            if part in context:
                context[part] = context[part].replace(left_out, whole)

    app.connect("html-page-context", mend, priority=900)
    return {"parallel_read_safe": True}
