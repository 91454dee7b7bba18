"""How long a container takes to start and end, beside other tools on the same machine: `make bench`.

One bundle, the same namespaces, /bin/true. The tools take turns, round by round, so that whatever
else the machine does meets all of them; a ratio is taken within each round, and the median of the
ratios is what counts. Run as root.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from minicontainer import rootfs

ROUNDS = int(os.environ.get("ROUNDS", "40"))
PYTHON = sys.executable
NAMESPACES = ("pid", "network", "ipc", "uts", "mount", "cgroup")

TARGETS = {
    "minicontainer-oci": ("runc", 1.0),
    "python -m minicontainer.oci": ("runc", 1.0),
    "minicontainer run": ("runc", 2.5),
}
"""Whose median may be at most how many times whose."""

MEMORY_TARGETS = {"python -m minicontainer.oci": 15, "minicontainer run": 30}
"""Megabytes that the waiting process may have used at its peak."""


def make_bundle(folder: Path) -> None:
    """A bundle as `runc spec` makes it, for both runtimes: seven mounts, masks, three capabilities."""
    rootfs.build(str(folder / "rootfs"))
    subprocess.run(["runc", "spec"], cwd=folder, check=True)
    config = json.loads((folder / "config.json").read_text())
    config["process"].update(terminal=False, args=["/bin/true"], rlimits=[])
    config["linux"]["namespaces"] = [{"type": kind} for kind in NAMESPACES]
    (folder / "config.json").write_text(json.dumps(config))


def tools(folder: Path) -> dict[str, list[str]]:
    """Name -> command line."""
    root = str(folder / "rootfs")
    scripts = Path(PYTHON).parent
    candidates = {
        "runc": ["runc", "run", "--bundle", str(folder), "bench-runc"],
        "minicontainer-oci": [str(scripts / "minicontainer-oci"), "run", "--bundle", str(folder), "bench-lean"],
        "python -m minicontainer.oci": [PYTHON, "-m", "minicontainer.oci", "run", "--bundle", str(folder), "bench-m"],
        "minicontainer run": [str(scripts / "minicontainer"), "run", "--network", "none", root, "/bin/true"],
        "minicontainer run (bridge)": [str(scripts / "minicontainer"), "run", root, "/bin/true"],
        "podman run": ["podman", "run", "--rm", "--network", "none", "--rootfs", root, "/bin/true"],
        "bubblewrap": [
            "bwrap",
            "--unshare-all",
            "--ro-bind",
            root,
            "/",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "/bin/true",
        ],
        "unshare + chroot": ["unshare", "-fpmniuC", "chroot", root, "/bin/true"],
        "python -c pass": [PYTHON, "-c", "pass"],
    }
    return {name: words for name, words in candidates.items() if shutil.which(words[0]) and works(words)}


def works(words: list[str]) -> bool:
    return subprocess.run(words, check=False, capture_output=True).returncode == 0


def milliseconds(words: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    return (time.perf_counter() - start) * 1000


def peak_megabytes(words: list[str]) -> float:
    """The peak resident memory of the process that waits while the container's program sleeps."""
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    time.sleep(1)
    status = Path(f"/proc/{process.pid}/status").read_text()
    process.terminate()
    time.sleep(0.2)
    process.terminate()
    time.sleep(0.2)
    process.terminate()
    process.wait()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> int:
    """Measure, print, and say by the exit status whether the targets are met."""
    subprocess.run([PYTHON, "-m", "compileall", "-q", str(Path(rootfs.__file__).parent.parent)], check=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_bundle(folder)
        commands = tools(folder)
        times: dict[str, list[float]] = {tool: [] for tool in commands}
        for _ in range(ROUNDS):
            for tool, words in commands.items():
                times[tool].append(milliseconds(words))
        root = str(folder / "rootfs")
        sleeping = {
            "python -m minicontainer.oci": [PYTHON, "-m", "minicontainer.oci", "run", "--bundle", name, "bench-memory"],
            "minicontainer run": [commands["minicontainer run"][0], "run", "--network", "none", root, "sleep", "60"],
        }
        config = json.loads((folder / "config.json").read_text())
        config["process"]["args"] = ["sleep", "60"]
        (folder / "config.json").write_text(json.dumps(config))
        memory = {tool: peak_megabytes(words) for tool, words in sleeping.items()}
    return report(times, memory)


def report(times: dict[str, list[float]], memory: dict[str, float]) -> int:
    """Print the table; 1 if a target is missed, else 0."""
    missed = 0
    table = Table(title=f"/bin/true in a container, {ROUNDS} rounds, in turns")
    for heading in ("tool", "median ms", "best ms", "× runc", "target", "peak MB", "target"):
        table.add_column(heading, justify="left" if heading == "tool" else "right")
    for tool, measured in times.items():
        ratio = statistics.median(a / b for a, b in zip(measured, times["runc"], strict=True))
        target = TARGETS.get(tool)
        missed += bool(target and ratio > target[1]) + (memory.get(tool, 0) > MEMORY_TARGETS.get(tool, 1 << 30))
        table.add_row(
            tool,
            f"{statistics.median(measured):.1f}",
            f"{min(measured):.1f}",
            f"{ratio:.2f}",
            f"≤ {target[1]}" if target else "",
            f"{memory[tool]:.1f}" if tool in memory else "",
            f"≤ {MEMORY_TARGETS[tool]}" if tool in MEMORY_TARGETS else "",
        )
    Console(width=100).print(table)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
