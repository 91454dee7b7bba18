"""Makes docs/host-and-container.svg: the same questions, asked on the host and in a container. Run as root."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

QUESTIONS = (
    "hostname",
    "ls -d /proc/[0-9]* | wc -l",
    "ls /sys/class/net | wc -l",
    "head -n 1 /etc/os-release",
    "readlink /proc/self/ns/pid",
    "grep CapEff /proc/self/status",
    "grep ^Seccomp: /proc/self/status",
    "ls /dev | wc -l",
    "cat /proc/sys/kernel/random/boot_id",
)
"""The last answer, what this start of the kernel is called, is the same on both sides: there is one kernel."""


def answers(prefix: list[str]) -> list[str]:
    script = "; ".join(QUESTIONS)
    done = subprocess.run([*prefix, "sh", "-c", script], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def panel(title: str, prompt: str, lines: list[str]) -> Panel:
    text = Text()
    for question, answer in zip(QUESTIONS, lines, strict=True):
        text.append(prompt, style="bold green").append(question + "\n").append(
            answer.expandtabs(8) + "\n", style="cyan"
        )
    return Panel(text, title=title, width=54)


def main() -> None:
    """Ask, and write the picture."""
    target = Path(__file__).parent.parent / "docs" / "host-and-container.svg"
    console = Console(record=True, width=112, file=sys.stderr)
    host = panel("the host", "# ", answers([]))
    container = panel("sudo minicontainer run ./rootfs", "/ # ", answers(["minicontainer", "run", "./rootfs"]))
    console.print(Columns([host, container]))
    svg = console.export_svg(title="One kernel, two views")
    # The reader's own monospaced font will do; a picture should not ask the network for one.
    target.write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL))


if __name__ == "__main__":
    main()
