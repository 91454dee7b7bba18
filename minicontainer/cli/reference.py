"""The README's table of options, from the same table as everything else.

python -m minicontainer.cli.reference        prints it
"""

from __future__ import annotations

from minicontainer.cli.options import PANELS


def markdown() -> str:
    """A table in Markdown: option, meaning; one heading row for each panel."""
    rows = ["| option | meaning |", "|---|---|"]
    for panel, options in PANELS:
        rows.append(f"| **{panel}** | |")
        for option in options:
            words = ", ".join(option.names) + (f" {option.metavar}" if option.metavar else "")
            rows.append(f"| `{words.replace('|', chr(92) + '|')}` | {option.help.replace('|', chr(92) + '|')} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
