"""What the theme leaves out for those who read with a keyboard or by ear."""

from __future__ import annotations

import re
from typing import Any

MENDED = {
    "furo_navigation_tree": ('role="heading"', 'role="heading" aria-level="2"'),
    "body": ("<pre>", '<pre tabindex="0">'),  # code that is wider than the screen is scrolled with arrow keys
}
"""What stands in which part of a page, and what should."""

ARGUMENTS = re.compile(r"<dl>\n((?:<dd><em class=\"sig-param\">.*</dd>\n)+)</dl>")
"""The arguments of a signature, a line each: a list of definitions without what they define."""


def _plain(arguments: re.Match[str]) -> str:
    lines = arguments[1].replace("<dd>", "<div>").replace("</dd>", "</div>")
    return f'<div class="sig-arguments">\n{lines}</div>'


def setup(app: Any) -> dict[str, bool]:
    """Changes pages after the theme has made their parts."""

    def mend(_app: Any, _page: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
        for part, (left_out, whole) in MENDED.items():
            if part in context:
                context[part] = context[part].replace(left_out, whole)
        context["body"] = ARGUMENTS.sub(_plain, context.get("body", ""))

    app.connect("html-page-context", mend, priority=900)
    return {"parallel_read_safe": True}
