"""What a run may load: Python starts in 10 ms and a container in 30, so nothing heavy is on the way.

Each test looks at sys.modules of a fresh interpreter after the step that it names.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import environment

HEAVY = (
    "typer", "click", "rich", "psutil", "pydantic", "re", "json", "typing", "typing_extensions", "dataclasses",
    "pathlib", "enum", "contextlib", "socket", "subprocess", "shutil", "signal", "functools", "collections",
    "inspect", "asyncio", "tempfile", "threading", "logging", "argparse", "difflib", "ipaddress", "traceback",
)  # fmt: skip
"""Modules with a weight: 1 ms and more, each with what it pulls in."""

RUN = "['-e', 'A=b', '-v', '/tmp:/mnt:ro', '-m', '64m', '-p', '127.0.0.1:80:80', '-u', '1:1', '--name', 'web', ROOT]"

STEPS = {
    "the entry point": "import minicontainer.cli.main",
    "parsing": f"from minicontainer.cli.quick import parse_options; parse_options({RUN})",
    "building the spec": "from minicontainer.cli.quick import parse_options\n"
    "from minicontainer.engine.create import build_spec\n"
    f"build_spec(parse_options({RUN}), ROOT, '0' * 64)",
    "the command": "import minicontainer.cli.run",
}


@pytest.mark.parametrize("step", STEPS)
def test_loads_nothing_heavy(step: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("root")
    program = (
        "import sys\n"
        "before = set(sys.modules)\n"
        f"ROOT = {str(root)!r}\n"
        f"{STEPS[step]}\n"
        f"print(*sorted((set(sys.modules) - before) & set({HEAVY!r})))\n"
    )
    script = [sys.executable, "-c", program]
    done = subprocess.run(script, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
