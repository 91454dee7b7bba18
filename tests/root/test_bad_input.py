"""Wrong command lines of every kind: one line with cause and remedy, the right exit status, nothing left behind.

The autouse fixture `host_unchanged` compares the whole host around each case, and `state_root` sees to
it that no container's directory stays.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Run, Spawn
from tests.support import requires

pytestmark = requires("root")

CASES = (
    # name, words after `run` ({tmp} has the traps below, {root} is a good root), exit status, culprit, remedy
    # -- options
    ("no root at all", "", 125, "directory of a root filesystem", "minicontainer run ./rootfs"),
    ("options but no root", "--rm -i", 125, "directory of a root filesystem", "minicontainer run ./rootfs"),
    ("unknown option", "--bogus {root}", 125, "--bogus", "--help"),
    ("slip of an option", "--memroy 1g {root}", 125, "--memroy", "did you mean --memory?"),
    ("unknown letter", "-itx {root}", 125, "-x", "--help"),
    ("option without value", "--memory", 125, "--memory needs a value", "--help"),
    ("flag with a wrong value", "--read-only=perhaps {root}", 125, "perhaps", "true"),
    ("detached", "-d {root}", 125, "-d belongs to the engine", "leave it out"),
    ("restart policy", "--restart always {root}", 125, "--restart", "leave it out"),
    ("detach keys", "--detach-keys ctrl-x {root}", 125, "--detach-keys", "leave it out"),
    ("not to be removed", "--rm=false {root}", 125, "always removed", "--keep"),
    ("terminal without one", "-it {root}", 125, "not a TTY", "-t"),
    ("escape sequence in an option", "--\x1b[31mred {root}", 125, r"--\x1b[31mred", "--help"),
    # -- the root filesystem
    ("missing root", "{tmp}/nowhere true", 125, "nowhere does not exist", "rootfs build"),
    ("file as root", "{tmp}/file true", 125, "is not a folder", "folder"),
    ("empty root", "{tmp}/empty true", 125, "is empty", "rootfs build"),
    ("unfilled root", "{tmp}/unfilled sh", 127, "no programs yet", "rootfs build"),
    ("root with a line break in its name", "{tmp}/line\nbreak true", 125, r"line\nbreak", "rootfs build"),
    ("link to nowhere as root", "{tmp}/link true", 125, "does not exist", "rootfs build"),
    ("proc in the root is a link", "{tmp}/proclink sh", 125, "/proc", "link"),
    # -- the command
    ("missing command", "{root} nosuchprogram", 127, "nosuchprogram is not in the container", "ls /bin"),
    ("missing path", "{root} /no/such/program", 127, "/no/such/program", "ls /bin"),
    ("bash where there is sh", "{root} bash", 127, "bash", "/bin/sh"),
    ("empty command", "{root} ''", 127, "empty", "name a program"),
    ("folder as command", "{root} /etc", 126, "/etc is a folder", ""),
    ("no x bit", "{root} /etc/passwd", 126, "/etc/passwd is not marked", "chmod"),
    ("missing entry point", "--entrypoint /no/entry {root}", 127, "/no/entry", "ls /bin"),
    ("another CPU's program", "{tmp}/programs /bin/foreign", 126, "/bin/foreign is a program for", "rootfs build"),
    ("missing loader", "{tmp}/programs /bin/noloader", 127, "/lib/no-such-loader.so", "static"),
    ("missing interpreter", "{tmp}/programs /bin/script", 127, "/bin/no-such-shell", "script's first line"),
    ("text without #!", "{tmp}/programs /bin/text", 126, "/bin/text is text", "#!"),
    ("empty program", "{tmp}/programs /bin/nothing", 126, "/bin/nothing is an empty file", ""),
    # -- user and environment
    ("unknown user", "-u somebody {root} true", 125, "'somebody'", "numeric id"),
    ("unknown group", "-u root:somebodies {root} true", 125, "'somebodies'", "numeric id"),
    ("unknown extra group", "--group-add somebodies {root} true", 125, "'somebodies'", "numeric id"),
    ("user out of range", "-u 4294967296 {root} true", 125, "'4294967296'", "numeric id"),
    ("malformed user", "-u a:b:c {root} true", 125, "a:b:c", ":GROUP"),
    ("passwd is a pipe", "-u web {tmp}/pipes true", 125, "'web'", "numeric id"),
    ("variable without name", "-e =x {root} true", 125, "'=x'", "NAME=VALUE"),
    ("missing env file", "--env-file {tmp}/nowhere {root} true", 125, "nowhere", "read"),
    ("binary env file", "--env-file {tmp}/binary {root} true", 125, "binary", "NAME=VALUE"),
    ("bad line in env file", "--env-file {tmp}/badenv {root} true", 125, "line 2", "NAME=VALUE"),
    ("relative working folder", "-w tmp {root} true", 125, "'tmp'", "begin it with /"),
    ("working folder is a file", "-w /etc/passwd {root} true", 125, "/etc/passwd", ""),
    # -- names and labels
    ("bad name", "--name ../x {root} true", 125, "'../x'", "letters"),
    ("name of one letter", "--name x {root} true", 125, "'x'", "two or more"),
    ("bad host name", "-h a/b {root} true", 125, "'a/b'", "letters"),
    ("long host name", "-h " + "a" * 65 + " {root} true", 125, "a" * 65, "64"),
    ("label without key", "-l =b {root} true", 125, "'=b'", "KEY=VALUE"),
    # -- volumes
    ("named volume", "-v data:/data {root} true", 125, "'data:/data'", "./"),
    ("anonymous volume", "-v /data {root} true", 125, "'/data'", "SRC:DST"),
    ("volume on the root", "-v {tmp}:/ {root} true", 125, ":/'", "below /"),
    ("volume on /proc", "-v {tmp}:/proc/sys {root} true", 125, "/proc/sys", "outside /proc and /sys"),
    ("volume on /proc by ..", "-v {tmp}:/etc/../proc {root} true", 125, "/proc", "outside /proc and /sys"),
    ("volume on /sys", "-v {tmp}:/sys/fs/cgroup {root} true", 125, "/sys/fs/cgroup", "outside /proc and /sys"),
    ("relative place of a volume", "-v {tmp}:data {root} true", 125, "'data'", "begin it with /"),
    ("unknown volume option", "-v {tmp}:/a:rx {root} true", 125, "'rx'", "ro"),
    ("ro and rw", "-v {tmp}:/a:ro,rw {root} true", 125, "both ro and rw", "choose one"),
    ("two volumes at one place", "-v {tmp}:/a --tmpfs /a {root} true", 125, "two mounts at /a", "leave one out"),
    ("source is a link to nowhere", "-v {tmp}/link:/a {root} true", 125, "link", "target"),
    ("source cannot be made", "-v {tmp}/file/deep:/a {root} true", 125, "file/deep", "yourself"),
    ("missing source", "--mount type=bind,source={tmp}/nowhere,target=/a {root}", 125, "nowhere", "make it"),
    ("mount without a target", "--mount type=bind,source={tmp} {root} true", 125, "target", "target="),
    ("mount of an unknown type", "--mount type=volume,target=/a {root} true", 125, "'volume'", "type=bind"),
    ("mount with an unknown key", "--mount type=tmpfs,target=/a,foo=1 {root} true", 125, "'foo'", "tmpfs-size"),
    ("source that cannot be shared", "-v {tmp}/private:/a:shared {root} true", 125, "shared", "mount --make-shared"),
    ("file over a folder", "-v {tmp}/file:/etc {root} true", 125, "/etc is a directory", "two of one kind"),
    ("folder over a file", "-v {tmp}:/etc/passwd {root} true", 125, "/etc/passwd is a file", "two of one kind"),
    ("bad tmpfs size", "--tmpfs /a:size=big {root} true", 125, "'big'", "64m"),
    ("unknown tmpfs option", "--tmpfs /a:shiny {root} true", 125, "'shiny'", "tmpfs(5)"),
    ("keeping changes in the root itself", "--keep {root}/kept {root} true", 125, "--keep", "another"),
    ("keeping changes nowhere", "--keep {tmp}/no/where {root} true", 125, "--keep", "make the directory"),
    # -- limits
    ("size that is none", "-m lots {root} true", 125, "'lots'", "64m"),
    ("negative size", "-m -5m {root} true", 125, "'-5m'", "64m"),
    ("too little memory", "-m 1m {root} true", 125, "6MB", "6m"),
    ("swap without memory", "--memory-swap 64m {root} true", 125, "swap", "--memory"),
    ("swap below memory", "-m 64m --memory-swap 32m {root} true", 125, "swap", "sum"),
    ("reservation above memory", "-m 64m --memory-reservation 1g {root} true", 125, "reservation", "lower"),
    ("no CPUs", "--cpus 0.001 {root} true", 125, "0.001", ""),
    ("more CPUs than there are", "--cpus 5000 {root} true", 125, "5000", "fewer"),
    ("CPUs that are none", "--cpus many {root} true", 125, "'many'", "0.5"),
    ("CPUs and quota", "--cpus 1 --cpu-quota 5000 {root} true", 125, "--cpus", "--cpu-quota"),
    ("short period", "--cpu-period 10 {root} true", 125, "'10'", "1000"),
    ("CPU that is not there", "--cpuset-cpus 4000 {root} true", 125, "4000", "those"),
    ("malformed CPU list", "--cpuset-cpus 0-x {root} true", 125, "'0-x'", "0-2,4"),
    ("weight out of range", "--blkio-weight 5 {root} true", 125, "'5'", "10 to 1000"),
    ("processes that are no number", "--pids-limit few {root} true", 125, "'few'", "digits"),
    ("rate of what is no disk", "--device-read-bps /dev/null:1m {root} true", 125, "/dev/null", "lsblk"),
    ("rate of a missing disk", "--device-write-iops /dev/nodisk:5 {root} true", 125, "/dev/nodisk", "lsblk"),
    ("rate without number", "--device-read-bps /dev/sda {root} true", 125, "is not PATH:RATE", "/dev/sda:1m"),
    ("unknown ulimit", "--ulimit nofiles=5 {root} true", 125, "nofiles", "did you mean nofile?"),
    ("ulimit upside down", "--ulimit nofile=6:5 {root} true", 125, "nofile=6:5", "SOFT:HARD"),
    ("score out of range", "--oom-score-adj 2000 {root} true", 125, "'2000'", "1000"),
    ("small shm", "--shm-size tiny {root} true", 125, "'tiny'", "64m"),
    # -- network
    ("unknown network", "--network mynet {root} true", 125, "'mynet'", "none or host or bridge"),
    ("network of nobody", "--network container:nobody {root} true", 125, "nobody", ""),
    ("port out of range", "-p 99999:80 {root} true", 125, "'99999'", "65535"),
    ("ranges of different length", "-p 80-90:80-85 {root} true", 125, "11 ports outside and 6 inside", "equally long"),
    ("unknown protocol", "-p 80:80/icmp {root} true", 125, "'icmp'", "tcp"),
    ("address without brackets", "-p ::1:80:80 {root} true", 125, "::1:80:80", "brackets"),
    ("ports without a network", "--network none -p 80:80 {root} true", 125, "--publish", "--network none"),
    ("name server that is no address", "--dns localhost {root} true", 125, "'localhost'", "192.0.2.1"),
    ("host without address", "--add-host db {root} true", 125, "'db'", "db:192.0.2.7"),
    # -- rights
    ("unknown capability", "--cap-add NET_ADMINN {root} true", 125, "'NET_ADMINN'", "did you mean CAP_NET_ADMIN?"),
    ("privileged and hardened", "--privileged --hardened {root} true", 125, "--hardened", "choose one"),
    ("unknown security option", "--security-opt foo=bar {root} true", 125, "'foo=bar'", "seccomp=FILE"),
    ("apparmor", "--security-opt apparmor=x {root} true", 125, "'apparmor=x'", "seccomp"),
    ("missing profile", "--security-opt seccomp={tmp}/nowhere {root} true", 125, "nowhere", "JSON"),
    ("profile that is no JSON", "--security-opt seccomp={tmp}/file {root} true", 125, "file", ""),
    ("profile with unknown words", "--security-opt seccomp={tmp}/badprofile {root} true", 125, "SCMP_ACT_MAYBE", ""),
    ("missing device", "--device /dev/nodevice {root} true", 125, "/dev/nodevice", "ls -l /dev"),
    ("file as device", "--device /etc/passwd {root} true", 125, "/etc/passwd", "device node"),
    ("unknown device access", "--device /dev/null:/dev/x:rx {root} true", 125, "'rx'", "r, w and m"),
    ("malformed device rule", "--device-cgroup-rule c {root} true", 125, "'c'", "c 42:* rwm"),
    ("setting of the host", "--sysctl kernel.panic=1 {root} true", 125, "kernel.panic=1", "net.*"),
    ("setting that is not there", "--sysctl net.no.such=1 {root} true", 125, "net.no.such", "/proc/sys/net/no/such"),
    ("setting without value", "--sysctl net.core.somaxconn {root} true", 125, "net.core.somaxconn", "=1024"),
    ("setting of a shared network", "--network host --sysctl net.core.somaxconn=1 {root} true", 125, "shared", "leave"),
    # -- namespaces and walls
    ("unknown user namespace", "--userns mine {root} true", 125, "'mine'", "UID:GID:COUNT"),
    ("ids out of range", "--userns 0:0:9999999999 {root} true", 125, "0:0:9999999999", "4294967295"),
    ("unknown pid mode", "--pid mine {root} true", 125, "'mine'", "container:NAME"),
    ("pid of nobody", "--pid container:nobody {root} true", 125, "nobody", ""),
    ("unknown ipc mode", "--ipc mine {root} true", 125, "'mine'", "container:NAME"),
    ("host's name and an own one", "--uts host -h name {root} true", 125, "--hostname", "leave one"),
    ("malformed time", "--time-offset soon {root} true", 125, "'soon'", "+1h30m"),
    ("time before the boot", "--time-offset=-50000d {root} true", 125, "negative", "less"),
    ("unknown clock", "--time-offset realtime=1h {root} true", 125, "'realtime'", "monotonic"),
    ("unknown signal", "--stop-signal SIGFOO {root} true", 125, "'SIGFOO'", "SIGTERM"),
    ("unknown wall", "--without secomp {root} true", 125, "'secomp'", "did you mean seccomp?"),
    ("both ways to choose walls", "--only net --without pid {root} true", 125, "--only", "one of them"),
    ("limit without its wall", "--without cgroup -m 64m {root} true", 125, "--memory needs the wall cgroup", "leave"),
)  # fmt: skip


@pytest.fixture(scope="module")
def traps(tmp_path_factory: pytest.TempPathFactory, rootfs: Path) -> Path:
    """A folder of roots and files that are wrong in one way each."""
    tmp = tmp_path_factory.mktemp("traps")
    (tmp / "file").write_text("not a folder, not JSON\n")
    (tmp / "empty").mkdir()
    (tmp / "private").mkdir()
    (tmp / "unfilled/bin").mkdir(parents=True)
    (tmp / "unfilled/etc").mkdir()
    (tmp / "link").symlink_to("nowhere")
    (tmp / "binary").write_bytes(b"A=\xff\xfe\n")
    (tmp / "badenv").write_text("A=1\nB C=2\n")
    (tmp / "badprofile").write_text('{"defaultAction": "SCMP_ACT_MAYBE"}')
    (tmp / "proclink").mkdir()
    for name in ("bin", "etc", "dev", "sys"):
        (tmp / "proclink" / name).mkdir()
    shutil.copy(rootfs / "bin/busybox", tmp / "proclink/bin/sh")
    (tmp / "proclink/proc").symlink_to("etc")
    (tmp / "pipes/etc").mkdir(parents=True)
    os.mkfifo(tmp / "pipes/etc/passwd")
    programs = tmp / "programs/bin"
    programs.mkdir(parents=True)
    shutil.copy(rootfs / "bin/busybox", programs / "sh")
    for name, content in {
        "foreign": elf(machine=2),
        "noloader": elf(loader=b"/lib/no-such-loader.so\0"),
        "script": b"#!/bin/no-such-shell\n",
        "text": b"echo hello\n",
        "nothing": b"",
    }.items():
        (programs / name).write_bytes(content)
        (programs / name).chmod(0o755)
    return tmp


def elf(machine: int = 0, loader: bytes = b"") -> bytes:
    """A 64-bit ELF file with nothing in it but a header and, perhaps, the name of a loader: elf(5)."""
    own = {"x86_64": 62, "aarch64": 183}.get(os.uname().machine, 62)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, machine or own, 1, 0x400078, 64, 0, 0, 64, 56,
                         1 if loader else 0, 0, 0, 0)  # fmt: skip
    segment = struct.pack("<IIQQQQQQ", 3, 4, 120, 0x400078, 0x400078, len(loader), len(loader), 1) if loader else b""
    return header + segment + loader


@pytest.mark.parametrize("words, status, culprit, remedy", [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_bad_input(
    minicontainer: Run, traps: Path, rootfs: Path, words: str, status: int, culprit: str, remedy: str
) -> None:
    split = ["" if word == "''" else word for word in words.split(" ") if word]
    before = sorted(traps.rglob("*"))
    done = minicontainer("run", *(word.replace("{tmp}", str(traps)).replace("{root}", str(rootfs)) for word in split))
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert re.fullmatch(r"minicontainer: [^\n]+\n", done.stderr), "one line"
    assert done.stderr.isprintable() or done.stderr[:-1].isprintable(), "no control characters"
    assert "internal error" not in done.stderr and "Traceback" not in done.stderr
    assert culprit in done.stderr
    assert remedy in done.stderr.partition("; ")[2] or not remedy, done.stderr
    assert sorted(traps.rglob("*")) == before, "nothing made"


def test_there_are_many() -> None:
    assert len(CASES) >= 60
    assert len({name for name, *_ in CASES}) == len(CASES)


def test_a_name_that_is_taken(minicontainer: Run, spawn: Spawn, rootfs: Path) -> None:
    words = ("run", "--network", "none", "--name", "web", rootfs, "sh", "-c", "echo up; cat")
    running = spawn(*words, stdin=subprocess.PIPE)
    assert running.stdout.readline() == "up\n"
    done = minicontainer("run", "--name", "web", rootfs, "true")
    running.stdin.close()
    assert running.wait() == 0
    assert done.returncode == 125
    assert done.stderr == "minicontainer: the name web is taken; choose another, or end the container that has it\n"


def test_a_bad_device_rule_has_spaces(minicontainer: Run, rootfs: Path) -> None:
    done = minicontainer("run", "--device-cgroup-rule", "c 42 rwm", rootfs, "true")
    assert done.returncode == 125
    assert re.fullmatch(r"minicontainer: --device-cgroup-rule 'c 42 rwm' .*; write .*\n", done.stderr)


def test_the_traceback_is_there_for_who_wants_it(minicontainer: Run, rootfs: Path) -> None:
    from tests.support import environment

    done = minicontainer("run", "-m", "lots", rootfs, env=environment(MINICONTAINER_DEBUG="1"))
    assert done.returncode == 125
    assert done.stderr.startswith("Traceback") and done.stderr.splitlines()[-1].startswith("minicontainer: -m 'lots'")
