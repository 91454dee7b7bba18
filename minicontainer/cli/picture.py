"""What rich draws on a terminal, as an SVG file."""

from __future__ import annotations

import io
import re

from minicontainer.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rich.console import RenderableType

WEB_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""The reader's own monospaced font will do: a picture should not ask the network for one."""

ASPECT = 0.602
"""Width of a character by its height: that of DejaVu Sans Mono, and nearly of most others.

Browsers stretch each line to its length; what does not (librsvg) draws frames without gaps with this.
"""


def save(drawing: RenderableType, path: str, width: int, title: str) -> None:
    """Draw on a terminal of `width` columns that is a picture in the file `path`. Raises UsageError."""
    from rich.console import Console

    console = Console(
        record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor", highlight=False
    )
    console.print(drawing)
    svg = WEB_FONT.sub("", console.export_svg(title=title, font_aspect_ratio=ASPECT))
    svg = svg.replace("<svg ", '<svg xml:space="preserve" ', 1)  # or some programs drop spaces where colours change
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(svg)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", "name a file that you may write") from None
