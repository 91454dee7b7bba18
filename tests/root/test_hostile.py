"""Root filesystems and volumes that were made to harm: nothing of the host changes, every failure is one line.

trees     each place that we touch in a root filesystem, replaced by what should not be there
traps     modules and libraries all over it, which tell if anything of ours ever loads them
races     a volume in which another container swaps a directory for a link while we mount below it
"""

from __future__ import annotations

import hashlib
import os
import pty
import shutil
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Run, Spawn
from tests.support import CHECKOUT, command, environment, requires

pytestmark = requires("root")

NO_NETWORK = ("--network", "none")
SECRET = "secret of the host"
REFUSED = 125


@pytest.fixture
def root(tmp_path: Path, rootfs: Path) -> Path:
    """A root filesystem to make hostile."""
    copy = tmp_path / "root"
    shutil.copytree(rootfs, copy, symlinks=True)
    return copy


def picture(folder: Path) -> list[tuple[str, int, int, int, float, str]]:
    """All below a folder: name, mode, owner, group, time, content."""
    rows = []
    for path in sorted([folder, *folder.rglob("*")]):
        seen = path.lstat()
        regular = path.is_file() and not path.is_symlink()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if regular else ""
        rows.append((str(path), seen.st_mode, seen.st_uid, seen.st_gid, seen.st_mtime, content))
    return rows


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A small tree of the host that must be neither read nor changed; it looks like a root filesystem."""
    folder = tmp_path / "canary"
    for name in ("proc", "sys", "dev/pts", "dev/shm", "etc", "sbin", "bin"):
        (folder / name).mkdir(parents=True)
    for name in ("secret", "etc/passwd", "etc/resolv.conf", "etc/hosts", "dev/null", "sbin/docker-init"):
        (folder / name).write_text(SECRET)
    before = picture(folder)
    yield folder
    assert picture(folder) == before


def check(done: subprocess.CompletedProcess[str], case: object) -> None:
    """It worked, or it was refused in one line; and the host's secret was not told."""
    assert SECRET not in done.stdout, case
    if done.returncode:
        assert done.returncode in (REFUSED, 126, 127), (case, done.returncode, done.stderr)
        assert done.stderr.startswith("minicontainer: "), (case, done.stderr)
        assert done.stderr.count("\n") == 1, (case, done.stderr)
        assert "internal error" not in done.stderr, (case, done.stderr)


# -- trees --------------------------------------------------------------------------------------

PLACES = (
    "proc", "sys", "dev", "dev/pts", "dev/shm", "dev/mqueue", "dev/null", "dev/console", "dev/ptmx", "dev/fd", "etc",
    "etc/resolv.conf", "etc/hosts", "etc/hostname", "etc/passwd", "etc/group", "sbin", "sbin/docker-init", "tmp", "run",
    "work",
)  # fmt: skip


def unix_socket(place: Path) -> None:
    here = os.open(place.parent, os.O_PATH)
    try:
        socket.socket(socket.AF_UNIX).bind(f"/proc/self/fd/{here}/{place.name}")
    finally:
        os.close(here)


FAKES: dict[str, Callable[[Path, Path], None]] = {
    "absolute link out": lambda place, canary: place.symlink_to(canary / place.name),
    "relative link out": lambda place, canary: place.symlink_to("../" * 20 + str(canary)),
    "link to the root": lambda place, _: place.symlink_to("/"),
    "link to itself": lambda place, _: place.symlink_to(place.name),
    "link by a descriptor": lambda place, _: place.symlink_to("/proc/self/fd/7/../../../.."),
    "link to our root": lambda place, _: place.symlink_to("/proc/self/root"),
    "link into proc": lambda place, _: place.symlink_to("/proc/sys/kernel"),
    "link to nothing": lambda place, _: place.symlink_to("/not/there"),
    "file": lambda place, _: place.write_text("a file") and None,
    "pipe": lambda place, _: os.mkfifo(place),
    "socket": lambda place, _: unix_socket(place),
    "device": lambda place, _: os.mknod(place, 0o20666, os.makedev(1, 11)),
    "folder": lambda place, _: place.mkdir(),
}

FILES = "/etc/resolv.conf /etc/hosts /etc/passwd /proc/1/mounts /secret /*/secret"
SCRIPT = f"for f in {FILES}; do [ -f $f ] && cat $f; done 2>/dev/null; ls /dev /sys; true"
MODES = {
    "default": ("-w", "/work"),
    "userns": ("--userns", "auto", "--init"),
    "hardened": ("--hardened", "-u", "student"),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_replaced_place(minicontainer: Run, root: Path, canary: Path, place: str) -> None:
    """Each fake in turn; all modes for those links that lead out, one of the modes for the rest."""
    target = root / place
    for number, (name, fake) in enumerate(FAKES.items()):
        if target.is_symlink() or target.is_file() or (target.exists() and not target.is_dir()):
            target.unlink()
        elif target.is_dir():
            shutil.rmtree(target)
        target.parent.mkdir(exist_ok=True)
        fake(target, canary)
        before = picture(root)
        for mode in MODES if name.endswith("link out") else [list(MODES)[number % len(MODES)]]:
            done = minicontainer("run", *NO_NETWORK, *MODES[mode], root, "/bin/sh", "-c", SCRIPT, timeout=20)
            check(done, (place, name, mode))
        assert picture(root) == before, (place, name)


@pytest.mark.parametrize("fake", FAKES)
def test_a_terminal_in_a_replaced_dev(root: Path, canary: Path, state_root: Path, tmp_path: Path, fake: str) -> None:
    """With /dev a volume, everything in it may be a trap: pts, ptmx, console."""
    dev = tmp_path / "dev"
    dev.mkdir()
    for name in ("pts", "console", "ptmx", "null", "tty"):
        FAKES[fake](dev / name, canary)
    before = picture(dev)
    master, slave = pty.openpty()
    run = command("run", "-t", *NO_NETWORK, "-v", f"{dev}:/dev", root, "/bin/sh", "-c", "cat /dev/* /secret")
    with subprocess.Popen(
        run, env=environment(), stdin=slave, stdout=slave, stderr=subprocess.PIPE, text=True
    ) as process:
        os.close(slave)
        try:
            complaint = process.communicate(timeout=20)[1]
        finally:
            process.kill()
            os.close(master)
    assert "Traceback" not in complaint
    assert "internal error" not in complaint
    unchanged = [row[0] for row in before if row not in picture(dev)]
    assert not [path for path in unchanged if path.startswith(str(canary))]


@pytest.mark.parametrize("fake", ["absolute link out", "relative link out", "link by a descriptor", "link to our root"])
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_volume_by_way_of_a_link(
    minicontainer: Run, root: Path, canary: Path, tmp_path: Path, fake: str, kind: str
) -> None:
    (root / "links").mkdir()
    FAKES[fake](root / "links" / "place", canary)
    source = tmp_path / "volume"
    source.mkdir() if kind == "folder" else source.write_text("of the volume")
    for destination in ("/links/place", "/links/place/below", "/links/place/a/b/c"):
        for options in ((), ("--userns", "auto")):
            run = (
                "run",
                *NO_NETWORK,
                *options,
                "-v",
                f"{source}:{destination}",
                root,
                "/bin/sh",
                "-c",
                "cat /*/secret; true",
            )
            check(minicontainer(*run), (fake, kind, destination))


def test_a_link_to_nothing_is_no_trap(minicontainer: Run, root: Path) -> None:
    """Honest images have such links, where their own init would make the target."""
    (root / "etc" / "resolv.conf").unlink(missing_ok=True)
    (root / "etc" / "resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    done = minicontainer("run", *NO_NETWORK, "--dns", "192.0.2.1", root, "cat", "/etc/resolv.conf")
    assert "nameserver 192.0.2.1" in done.stdout, done.stderr
    assert not (root / "run" / "systemd").exists()


def test_a_passwd_that_never_ends(minicontainer: Run, root: Path) -> None:
    for name in ("passwd", "group"):
        with (root / "etc" / name).open("wb") as file:
            file.truncate(1 << 40)
    done = minicontainer("run", *NO_NETWORK, "-u", "nosuch", root, "/bin/true", timeout=20)
    assert done.returncode == REFUSED
    check(done, "sparse")


# -- traps --------------------------------------------------------------------------------------

TRAP = """
import os
os.write(2, b"TRAPPED " + __name__.encode())
for path in ("/caught", {canary!r}):
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    except OSError:
        pass
"""

LIBRARY_TRAP = """
#include <fcntl.h>
#include <unistd.h>
__attribute__((constructor)) static void spring(void) {
    write(2, "TRAPPED library", 15);
    close(open("/caught", O_CREAT | O_WRONLY, 0644));
}
"""

MODULES = (
    "encodings/__init__.py", "encodings/idna.py", "encodings/utf_8.py", "encodings/ascii.py", "encodings/latin_1.py",
    "encodings/punycode.py", "os.py", "errno.py", "signal.py", "struct.py", "traceback.py", "linecache.py",
    "tokenize.py", "codecs.py", "json/__init__.py", "re/__init__.py", "ctypes/__init__.py", "ctypes/util.py",
    "warnings.py", "pwd.py", "grp.py", "termios.py", "sitecustomize.py", "usercustomize.py", "_bootlocale.py",
    "minicontainer/__init__.py", "minicontainer/runtime/__init__.py", "minicontainer/runtime/diagnose.py",
    "minicontainer/cli/output.py", "minicontainer/hints.py", "minicontainer/runtime/trace.py", "rich/__init__.py",
    "typer/__init__.py", "pyseccomp.py", "psutil/__init__.py",
)  # fmt: skip

LIBRARIES = (
    "lib/x86_64-linux-gnu/libnss_files.so.2", "lib/x86_64-linux-gnu/libgcc_s.so.1", "lib/libnss_dns.so.2",
    "usr/lib/x86_64-linux-gnu/gconv/UTF-16.so", "lib64/libc.so.6", "lib/x86_64-linux-gnu/libc.so.6",
)  # fmt: skip


@pytest.fixture
def trapped(root: Path, tmp_path: Path, canary: Path) -> Path:
    """A root filesystem with traps wherever Python has ever looked for modules, and the loader for libraries."""
    folders = {"", "tmp", "work", "usr/lib/python3/dist-packages", "root/.local/lib/python3.11/site-packages"}
    folders |= {
        path.lstrip("/") for path in [*sys.path, sysconfig.get_path("stdlib"), str(CHECKOUT)] if path.startswith("/")
    }
    for version in (11, 12, 13):
        folders |= {f"usr/lib/python3.{version}", f"usr/local/lib/python3.{version}/site-packages"}
    text = TRAP.format(canary=str(canary / "caught"))
    for folder in folders:
        for module in MODULES:
            path = root / folder / module
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    library = tmp_path / "trap.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-o", library, "-x", "c", "-"], input=LIBRARY_TRAP, text=True, check=True
    )
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    names = [
        *LIBRARIES,
        *(f"{folder}/_json{suffix}" for folder in folders),
        *(f"{folder}/termios{suffix}" for folder in folders),
    ]
    for name in names:
        path = root / name.lstrip("/")  # pathlib would take an absolute one for the whole path, the host's
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, path)
    return root


SPRINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "it works": ((), ("/bin/true",)),
    "it fails": ((), ("/bin/false",)),
    "a missing command": ((), ("nosuch",)),
    "a missing path": ((), ("/no/such",)),
    "a text as a program": ((), ("/etc/passwd",)),
    "a folder as a program": ((), ("/bin",)),
    "a name that is not UTF-8": ((), ("\udcff\udcfe",)),
    "a bad user": (("-u", "nosuch"), ("/bin/true",)),
    "a user of a high number": (("-u", "4294967294"), ("/bin/true",)),
    "a user that is not mapped": (("--userns", "auto", "-u", "100000"), ("/bin/true",)),
    "a bad working folder": (("-w", "/etc/passwd"), ("/bin/true",)),
    "a working folder by a link": (("-w", "/proc/self/fd/7"), ("/bin/true",)),
    "a working folder with modules": (("-w", "/work"), ("/bin/true",)),
    "a name in another script": (("-h", "bücher"), ("/bin/true",)),
    "a volume that does not fit": (("-v", "/etc/hosts:/bin"), ("/bin/true",)),
    "a volume into /proc": (("-v", "/tmp:/into-proc"), ("/bin/true",)),
    "a tmpfs that is refused": (("--tmpfs", "/x:size=1,nr_inodes=1,mpol=nonsense"), ("/bin/true",)),
    "a setting that is refused": (("--sysctl", "net.ipv4.ip_forward=nonsense"), ("/bin/true",)),
    "a limit that is refused": (("--ulimit", "nofile=1073741825:1073741825"), ("/bin/true",)),
    "a variable of Python's": (("-e", "PYTHONPATH=/work", "-e", "LD_PRELOAD=/lib64/libc.so.6"), ("/bin/true",)),
    "hardened": (("--hardened",), ("/bin/true",)),
    "in a user namespace": (("--userns", "auto", "--init"), ("/bin/true",)),
    "with a trace": ((), ("nosuch",)),
}


@requires("command:gcc")
def test_no_trap_is_sprung(minicontainer: Run, trapped: Path, canary: Path, tmp_path: Path) -> None:
    (trapped / "into-proc").symlink_to("/proc/sys")
    for name, (options, words) in SPRINGS.items():
        trace = {"MINICONTAINER_TRACE": str(tmp_path / "trace")} if name == "with a trace" else {}
        keep = tmp_path / "keep"
        run = ("run", *NO_NETWORK, "--keep", keep, *options, trapped, *words)
        done = minicontainer(*run, env=environment(PYTHONDONTWRITEBYTECODE="1", **trace))
        assert "TRAPPED" not in done.stdout + done.stderr, (name, done.stderr)
        assert not (keep / "caught").exists(), name
        assert "Traceback" not in done.stderr, name
        assert done.returncode == (1 if name == "it fails" else done.returncode), name
        shutil.rmtree(keep, ignore_errors=True)


@requires("command:gcc")
@pytest.mark.parametrize("words", [("/bin/true",), ("nosuch",)])
def test_nor_from_within_the_rootfs(minicontainer: Run, trapped: Path, canary: Path, words: tuple[str, ...]) -> None:
    """Our own working folder is the hostile tree. `python -m` would look there first, so the command is not run so."""
    program = "import sys; sys.path[:] = [p for p in sys.path if p]; from minicontainer.cli.main import main; main()"
    run = [sys.executable, "-P", "-c", program, "run", *NO_NETWORK, ".", *words]
    done = subprocess.run(run, cwd=trapped, env=environment(), capture_output=True, text=True, timeout=20)
    assert "TRAPPED" not in done.stdout + done.stderr
    assert done.returncode == (0 if words == ("/bin/true",) else 127), done.stderr


LAZY = """
import sys
sys.path[:] = [path for path in sys.path if path]
from minicontainer.runtime import first, init
def look_up(name, folders):
    __import__("encodings.idna")  # as a codec would be, the first time it is asked for
    return name
init.look_up = look_up
if sys.argv.pop(1) == "open":
    init.shut_imports = lambda: None
from minicontainer.cli.main import main
main()
"""


@requires("command:gcc")
@pytest.mark.parametrize(("imports", "sprung"), [("open", True), ("shut", False)])
def test_a_lazy_import_in_the_first_process(trapped: Path, state_root: Path, imports: str, sprung: bool) -> None:
    """The pair: what the traps catch, and that it could not happen."""
    run = [sys.executable, "-P", "-c", LAZY, imports, "run", *NO_NETWORK, trapped, "/bin/true"]
    done = subprocess.run(run, env=environment(), capture_output=True, text=True, timeout=20)
    assert ("TRAPPED encodings" in done.stderr) == sprung, done.stderr
    if not sprung:
        assert done.returncode == REFUSED


# -- races --------------------------------------------------------------------------------------

FLIP = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>

/* flip N: swap /v/place0 and /v/link0, … /v/placeN-1 and /v/linkN-1, as fast as it goes. */
int main(int argc, char **argv) {
    puts("flipping");
    fflush(stdout);
    for (;;)
        for (int i = 0; i < atoi(argv[1]); i++) {
            char place[20], link[20];
            snprintf(place, sizeof place, "/v/place%d", i);
            snprintf(link, sizeof link, "/v/link%d", i);
            renameat2(AT_FDCWD, place, AT_FDCWD, link, RENAME_EXCHANGE);
        }
}
"""
ROUNDS = 60
WAYS = ("/", "{canary}", "../../../../../../../../..{canary}", "/proc/self/root{canary}", "/proc/self/fd/7", "/mnt")


@requires("command:gcc")
@pytest.mark.parametrize("options", [(), ("--userns", "auto")], ids=["default", "userns"])
def test_mounts_below_a_volume_that_flips(
    minicontainer: Run, spawn: Spawn, root: Path, rootfs: Path, canary: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """CVE-2021-30465. One container swaps directories for links out, while others have volumes mounted there.

    Wherever a path leads at that moment, it is in the container: each of the volumes is seen inside.
    """
    shared, nested = tmp_path / "shared", tmp_path / "nested"
    shared.mkdir()
    shared.chmod(0o777)
    nested.mkdir()
    subprocess.run(["gcc", "-static", "-O1", "-o", shared / "flip", "-x", "c", "-"], input=FLIP, text=True, check=True)
    volumes = ["-v", f"{shared}:/v"]
    for number, way in enumerate(WAYS):
        (shared / f"place{number}").mkdir(mode=0o777)
        (shared / f"link{number}").symlink_to(way.replace("{canary}", str(canary)))
        volumes += ["-v", f"{nested}:/v/place{number}"]
    attacker = spawn("run", *NO_NETWORK, "-v", f"{shared}:/v", rootfs, "/v/flip", str(len(WAYS)))
    assert attacker.stdout.readline() == "flipping\n"  # type: ignore[union-attr]
    script = "for f in /v/*/secret /secret /*/secret; do cat $f 2>/dev/null; done; cat /proc/self/mountinfo"
    places: set[str] = set()
    for _ in range(ROUNDS if not options else ROUNDS // 3):
        run = ("run", *NO_NETWORK, *options, *volumes, "-w", "/v/place0/new", root, "/bin/sh", "-c", script)
        done = minicontainer(*run, timeout=20)
        check(done, "flip")
        if done.returncode == 0:
            rows = [line.split() for line in done.stdout.splitlines()]
            mounted = [row[4] for row in rows if row[3].endswith("/nested")]
            assert len(mounted) == len(WAYS), done.stdout
            places |= set(mounted)
    assert attacker.poll() is None
    assert {"/", "/mnt"} & places or any(place.startswith("/v/link") for place in places), places  # the race was on
    assert any(place.startswith("/v/") for place in places), places
