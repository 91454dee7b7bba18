"""A real Debian (or Ubuntu) as a root filesystem, made by mmdebstrap(1) from packages.

It takes the package sources from the machine it runs on, so mirrors and signing keys that work here
work for it, and `apt install` works in the container.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from minicontainer.errors import MinicontainerError, UnsupportedError, UsageError

EXTRA_PACKAGES = "iproute2,procps"
GREETING = "etc/profile.d/minicontainer.sh"


def make(root: Path, suite: str, skeleton: Path, say: Callable[[str], None]) -> None:
    """Build a Debian of release `suite` in `root`, which must be new, empty or such a Debian already."""
    if (root / GREETING).exists():
        say(f"{root} holds a Debian already; nothing to do")
        return
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UsageError(f"{root} holds something else", "a Debian needs a folder of its own: name a new one")
    if shutil.which("mmdebstrap") is None:
        raise UnsupportedError("mmdebstrap is not installed", "install the package of that name, or use --from host")
    if os.geteuid() != 0:
        raise UsageError("a Debian's files belong to several users, which only root can set up", "use sudo")
    partial = root.with_name(f"{root.name}.partial")
    subprocess.run(["rm", "-rf", "--one-file-system", str(partial)], check=True)
    suite = suite or own_suite() or "stable"
    say(f"making a Debian {suite} with mmdebstrap; this takes a minute or two")
    run(["mmdebstrap", "--variant=apt", f"--include={EXTRA_PACKAGES}", suite, str(partial), *sources(suite)])
    shutil.copy(skeleton / "profile", partial / GREETING)
    for name in ("motd", "hostname"):  # mmdebstrap copies this machine's name
        shutil.copy(skeleton / name, partial / "etc" / name)
    partial.replace(root)
    say(f"{root}: Debian {suite}")


def run(command: list[str]) -> None:
    """Run mmdebstrap; its last words become the error if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith(("E: ", "Err:"))] or ["no reason given"]
        raise MinicontainerError(f"mmdebstrap failed: {errors[0]}", "check that `apt-get update` works here")


def own_suite() -> str:
    """The release of this machine, such as bookworm, or an empty string where it is no Debian or Ubuntu."""
    release = platform.freedesktop_os_release()
    return (
        release.get("VERSION_CODENAME", "")
        if {"debian", "ubuntu"} & {release["ID"], *release.get("ID_LIKE", "").split()}
        else ""
    )


def sources(suite: str) -> list[str]:
    """This machine's own package sources, turned to `suite`, as apt writes them; none means mmdebstrap's default."""
    own = own_suite()
    if not own or shutil.which("apt-get") is None:
        return []
    form = "$(SIGNED_BY)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages"], capture_output=True, text=True
    )
    lines = []
    for row in dict.fromkeys(listing.stdout.splitlines()):
        key, uri, release, component = row.split("|")
        if release.startswith(own):  # bookworm, bookworm-updates, bookworm-security; not another vendor's
            option = f"[signed-by={key}] " if key.startswith("/") else ""
            lines.append(f"deb {option}{uri} {release.replace(own, suite, 1)} {component}")
    return lines
