"""`runc.py ROOTFS PROGRAM…`: runc as a command to which a program can be appended, configured by `runc spec`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


def main(rootfs: str, *program: str) -> int:
    """Make a bundle, run it, and clear up; the program's exit status."""
    with tempfile.TemporaryDirectory(prefix="bundle-") as bundle:
        subprocess.run(["runc", "spec", "--bundle", bundle], check=True)
        path = Path(bundle, "config.json")
        config = json.loads(path.read_text())
        config["process"].update(args=list(program), terminal=False)
        config["root"] = {"path": rootfs, "readonly": False}
        path.write_text(json.dumps(config))
        name = f"lesson-{os.getpid()}"
        return subprocess.run(["runc", "--root", f"{bundle}/state", "run", "--bundle", bundle, name]).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
