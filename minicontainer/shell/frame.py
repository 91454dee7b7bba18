"""What stands around the paragraphs: the head, a few functions, the making of the first process, the order of all."""

from __future__ import annotations

import os

from minicontainer.isolation.filesystems import INIT
from minicontainer.linux.programs import PACKAGES
from minicontainer.shell.paragraph import OPTIONS, PHASES
from minicontainer.shell.process import environment
from minicontainer.shell.text import command_line, comment, quote, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minicontainer.runtime.container import Container
    from minicontainer.shell.paragraph import Paragraph

HEAD = """\
A container, made by a shell. It is what this command makes, without the command:

    {command}

    {how} FILE        runs it; at the end it takes away all that it has made

It needs the packages util-linux, mount{packages} as Debian 12 has them, beside what every Debian has. It is for the
machine that it was made on, {host}: paths, addresses, name servers and ids are those there.

One paragraph a wall, in the order of the walls, each with the lesson on it (`minicontainer lesson show N`). What a
shell cannot do is said where it would stand, after "Not here". The work is done from two sides:

    on the host                                       in the first process
     ..._before     control group, bridge, folders
     ..._child      unshare  ────────────────────▶      waits
     ..._outside    id map, cable
                    go  ─────────────────────────▶      ..._inside      addresses, mounts, names
                    ◀─────────────────────  ready       becomes a process without rights, waits
     ..._finish     takes the host's tree away
                    go  ─────────────────────────▶      becomes the program
     waits for its end, and cleans up
"""

START = """\
# shellcheck disable=SC2016 # `later` is given commands that are to be expanded later
# shellcheck disable=SC2086 # lists of options are to be split
# shellcheck disable=SC2317 # functions that only a trap calls, or `later`
set -eu
umask 022
PATH=$PATH:/usr/sbin:/sbin # not in every user's
{variables}

fail() {{
	echo "$0: $*" >&2
	exit 125
}}

# Note down what undoes a step, before the step is done. At the end the last comes first.
later() {{
	undo="$1
$undo"
}}

clean_up() {{
	status=$?
	trap '' HUP INT TERM
	set +e
	eval "$undo"
	exit "$status"
}}

if [ "${{1-}}" = inside ]; then # we are the first process
	dir=$2
else
	[ $# = 0 ] || fail "it takes no arguments"
	[ -f "$0" ] || fail "save it to a file and run that: standard input is the container's"
{checks}
	trap clean_up EXIT # a signal ends the container at once (the command would pass it on)
	trap 'exit 129' HUP
	trap 'exit 143' TERM
{interrupt}
	later 'rm -rf --one-file-system "$dir"'
	dir=$(mktemp -d "${{TMPDIR:-/tmp}}/container-{id}.XXXXXX")
	dir=$(realpath "$dir")
fi
"""

INTERRUPT = "\ttrap 'exit 130' INT"
KEYS = "\ttrap '' INT QUIT # the terminal's keys are for the container"

PLACES = """\
# Where a path of the container is, as "$at". Links are followed as the container would: never out of its root.
find_place() {
	rest=$1 at='' links=0
	while [ -n "$rest" ]; do
		name=${rest%%/*}
		case $rest in */*) rest=${rest#*/} ;; *) rest='' ;; esac
		if [ -z "$name" ] || [ "$name" = . ]; then
			continue
		elif [ "$name" = .. ]; then
			at=${at%/*}
		elif [ -L "$root$at/$name" ]; then
			links=$((links + 1))
			[ "$links" -le 40 ] || fail "$1 is a link that leads in a circle"
			link=$(readlink -n "$root$at/$name" && echo .)
			link=${link%.} # with the dot a newline at its end is not lost
			case $link in /*) at='' ;; esac
			rest=$link/$rest
		else
			at=$at/$name
		fi
	done
	case $1 in /proc/* | /sys/*) ;; *)
		case $at in /proc/* | /sys/*) fail "$1 in the rootfs is a link to $at" ;; esac
		;;
	esac
	at=$root${at:-/}
}

# The same, and it is made if it is missing: a folder, or an empty file.
folder() {
	find_place "$1"
	mkdir -p "$at"
}

file() {
	folder "${1%/*}/"
	find_place "$1"
	[ -e "$at" ] || : >"$at"
}

# Make the mount at a place, and all below it, read only.
read_only() {
	mount -o remount,bind,ro "$1"
	findmnt --noheadings --list --submounts --output TARGET "$1" | while IFS= read -r place; do
		mount -o remount,bind,ro "$place"
	done
}
"""

PROCESS = """\
# ── the first process ──
#
{text}
GATE='read -r pid _ </proc/self/stat; echo "$pid" >&3; read -r _ <&4 || exit 125; exec "$@"'
LAST='unset PWD OLDPWD
while [ "$1" != -- ]; do export "$1"; shift; done
shift
echo ready >&3; read -r _ <&4 || exit 125
exec "$@" 3>&- 4<&-'

start() {{
	mkfifo "$dir/ready" "$dir/go"
	cp "$0" "$dir/script"
	exec 5<&0
	(
{child}		exec setpriv --pdeathsig KILL {enter}unshare --fork $walls {enter_last}sh -c "$GATE" sh \\
			{become}sh "$dir/script" inside "$dir"
	) {input} 3>"$dir/ready" 4<"$dir/go" &
	waiter=$!
	later stop
	exec 3<"$dir/ready" 4>"$dir/go" 5<&-
	read -r pid <&3 || fail "there is no first process"
}}

# unshare goes first: it would only complain about a child that SIGKILL has ended.
stop() {{
	[ -n "$waiter" ] || return
	kill -KILL "$waiter" $pid
	wait "$waiter"
	for pause in 0.05 0.5 2; do
		[ -e "/proc/${{pid:-none}}" ] || break
		sleep "$pause"
	done
}} 2>/dev/null

become_program() {{
{variables}
	exec {session}env -i --default-signal setpriv --pdeathsig KILL $rights sh -c "$LAST" sh "$@"
}}
"""

PROCESS_TEXT = """\
It is born in its namespaces, tells its number and waits (GATE; /proc is the host's until it is covered, and so is the
number). Two descriptors are all that connects it with us: 3 to tell, 4 to be told; both close at its exec. Should one
side die, the other reads the end of the file; and --pdeathsig has the kernel kill a process when its parent ends.

It becomes the program in two steps (LAST). A shell of the host is started with the program's rights and variables,
and waits. When the host's tree is gone it needs nothing of it any more, it is in memory.

See mkfifo(1), unshare(1), env(1), PR_SET_PDEATHSIG(2const), namespaces(7)."""


def needs(paragraphs: list[Paragraph]) -> list[str]:
    """Programs that a Debian may lack, each once."""
    return list(dict.fromkeys(program for each in paragraphs for program in each.needs))


def head(container: Container, paragraphs: list[Paragraph], command: list[str]) -> str:
    packages = dict.fromkeys(PACKAGES.get(program, program) for program in needs(paragraphs))
    text = HEAD.format(
        command=words(command).replace("\n", "\n    "),
        how="sh" if container.spec.minicontainer.rootless else "sudo sh",
        packages="".join(f", {name}" for name in packages),
        host=os.uname().nodename,
    )
    filled = comment(text, between="\n#\n")
    return f"#!/bin/sh\n{filled}\n"


def start(container: Container, paragraphs: list[Paragraph]) -> str:
    checks = []
    if not container.spec.minicontainer.rootless:
        checks.append('\t[ "$(id -u)" = 0 ] || fail "it takes root: sudo sh $0"')
    for program in needs(paragraphs):
        package = PACKAGES.get(program, program)
        checks.append(f'\tcommand -v {program} >/dev/null || fail "install the package {package}"')
    variables = ["undo", "walls", "rights", "dir", "root", "pid", "waiter"]
    variables += [name for name in ("enter", "enter_last") if any(each.options[name] for each in paragraphs)]
    return START.format(
        variables=" ".join(f"{name}=''" for name in variables),
        checks="\n".join(checks),
        interrupt=KEYS if container.spec.process.terminal else INTERRUPT,
        id=container.short_id,
    )


def process(container: Container, paragraphs: list[Paragraph], stdin: bool) -> str:
    spec = container.spec
    variables, impossible = environment(container)
    args = [INIT, "--", *spec.process.args] if spec.minicontainer.init else spec.process.args
    lines = [f"# Not here: the variable {quote(name)}. A shell has none of that name." for name in impossible]
    used = {name: any(each.options[name] for each in paragraphs) for name in OPTIONS}
    return PROCESS.format(
        text=comment(PROCESS_TEXT),
        child="".join(f"\t\t{call}\n" for call in calls(paragraphs, "child")),
        enter="nsenter $enter " * used["enter"],
        enter_last="nsenter $enter_last " * used["enter_last"],
        become="$become " * any("become=" in line for each in paragraphs for line in each.settings),
        input="<&5 5<&-" if stdin else "</dev/null 5<&-",
        variables="\t" + "\n\t".join([*lines, command_line("set --", [*variables, "--", *args])]),
        session="" if spec.process.terminal else "setsid ",
    )


def calls(paragraphs: list[Paragraph], phase: str) -> list[str]:
    return [call for each in paragraphs if (call := each.function(phase))]


def order(paragraphs: list[Paragraph]) -> str:
    """The loop of the runtime, unrolled."""
    before, _, outside, inside, finish, _ = (calls(paragraphs, phase) for phase in PHASES)
    lines = ["# ── all in order ──", "", 'if [ "${1-}" = inside ]; then']
    lines += [*("\t" + call for call in inside), "\tbecome_program", "fi", ""]
    lines += [*before, "start", *outside, "echo go >&4"]
    lines += ['read -r _ <&3 || fail "the first process ended too early"', *finish, "echo go >&4"]
    lines += ['wait "$waiter" && status=0 || status=$?', "pid='' waiter=''", 'exit "$status"']
    return "\n".join(lines) + "\n"
