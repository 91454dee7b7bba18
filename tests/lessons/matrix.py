"""`make lessons`: which check passes on what, found out here and now, as the table in docs/lessons.md.

Lessons that need what this machine does not have are tried in the lab.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from minicontainer.lessons import attacks, catalogue, checking
from minicontainer.lessons.lesson import Lesson
from minicontainer.lessons.needs import belongs_in_lab
from minicontainer.rootfs import build
from tests.support import CHECKOUT

HERE = Path(__file__).resolve().parent
PAGE = CHECKOUT / "docs/lessons.md"
OTHERS = {
    "unshare": "unshare --uts --ipc --mount --pid --net --cgroup --fork --kill-child"
    " sh -c 'hostname flat && cd {rootfs} && mount -t proc proc proc && exec chroot . \"$@\"' sh",
    "runc": f"{sys.executable} {HERE / 'runc.py'} {{rootfs}}",
    "bubblewrap": "bwrap --unshare-all --hostname flat --bind {rootfs} / --proc /proc --dev /dev --as-pid-1",
}
"""Other people's containers, as subjects. A lesson may name a fitter one."""
COLUMNS = ("skeleton", "solution", "lesson before", "minicontainer", *OTHERS, "wall down", "wall up")
HEAD = """\
# The lessons, tried on everything

Made by `make lessons`: each lesson's check is run on the untouched skeleton, on the lesson's solution, on the solution
of the lesson before, on `minicontainer run`, and on the containers of others; then its attack, wall down and wall up.

✓ is what should be: the check passes (or, for the skeleton and the lesson before, does not), the attack works with the
wall down and is stopped with it up. The containers of others are as they come: where one of them does not pass, the
reason is below the table. An empty field: there is nothing to try.

"""


def main() -> int:
    """Try all; write the page; the exit status: 1 if something of ours is not as it should be."""
    rows: dict[int, dict[str, str]] = {}
    wrong = 0
    for lesson in catalogue.lessons():
        if lab := belongs_in_lab(lesson):
            words = [sys.executable, "-m", "minicontainer.lab", "--", sys.executable, "-m", "tests.lessons.matrix"]
            done = subprocess.run([*words, str(lesson.number)], cwd=CHECKOUT, capture_output=True, text=True)
            if done.returncode:
                print(f"{lesson.label}: {done.stderr.strip()}", file=sys.stderr)
                return 1
            row = json.loads(done.stdout.splitlines()[-1])
        else:
            row = tried(lesson)
        rows[lesson.number] = row
        bad = {column: said for column, said in row.items() if column not in OTHERS and said not in ("", "✓")}
        wrong += len(bad)
        print(
            f"{lesson.label}{' (in the lab)' if lab else ''}: {' '.join(row[c][:1] or '-' for c in COLUMNS)}",
            flush=True,
        )
        for column, said in bad.items():
            print(f"  {column}: {said}")
    PAGE.write_text(HEAD + "\n".join(table(rows)) + "\n", encoding="utf-8")
    os.chown(PAGE, CHECKOUT.stat().st_uid, CHECKOUT.stat().st_gid)
    print(f"{PAGE.relative_to(CHECKOUT)} is written")
    return 1 if wrong else 0


def tried(lesson: Lesson) -> dict[str, str]:
    """Column -> ✓, nothing if it does not apply, or what was seen."""
    row = dict.fromkeys(COLUMNS, "")
    with tempfile.TemporaryDirectory(prefix="lesson-") as name:
        os.chmod(name, 0o755)
        folder = Path(name)

        def passed(prefix: list[str]) -> str:
            verdict = checking.check(lesson, prefix, name)
            return "✓" if verdict.passed else f"{verdict.claim}: expected {verdict.wanted}, seen {verdict.seen}"

        def own(source: Path) -> str:
            shutil.copy(source, folder / "my_container.py")
            shutil.copy(catalogue.skeleton() / "kit.py", folder)
            return passed(checking.learner(folder / "my_container.py", fresh(folder)))

        if lesson.has_exercise:
            row["skeleton"] = failing(own(catalogue.skeleton() / "my_container.py"))
            row["minicontainer"] = passed(checking.runtime(lesson, fresh(folder)))
            if lesson.solution.exists():
                row["solution"] = own(lesson.solution)
            if earlier := catalogue.before(lesson):
                row["lesson before"] = failing(own(earlier.solution))
            for other, usual in OTHERS.items():
                command = lesson.others.get(other, usual)
                words = [word.replace("{rootfs}", str(folder / "rootfs")) for word in shlex.split(command)]
                if words and shutil.which(words[0]) and (other != "runc" or shutil.which("runc")):
                    fresh(folder)
                    row[other] = passed(words)
        if lesson.attack:
            root = fresh(folder)
            row["wall down"] = "✓" if attacks.attack(lesson, root, up=False).worked else "the attack does not work"
            row["wall up"] = "the attack works" if attacks.attack(lesson, root, up=True).worked else "✓"
    return row


def failing(said: str) -> str:
    return "it passes" if said == "✓" else "✓"


def fresh(folder: Path) -> Path:
    """A root filesystem that nothing was changed in."""
    shutil.rmtree(folder / "rootfs", ignore_errors=True)
    build(str(folder / "rootfs"))
    return folder / "rootfs"


def table(rows: dict[int, dict[str, str]]) -> list[str]:
    """The Markdown table, and the reasons below it."""
    heads = ("lesson", "skeleton fails", "solution passes", "lesson before fails", "minicontainer", *OTHERS,
             "attack, wall down", "attack stopped, wall up")  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "|---" + "|:-:" * len(COLUMNS) + "|"]
    reasons = []
    for number, row in rows.items():
        lesson = catalogue.find(number)
        cells = [said if said in ("", "✓") else "–" for said in row.values()]
        lines.append(f"| [{lesson.label}](../lessons/{lesson.folder.name}/README.md) | {' | '.join(cells)} |")
        reasons += [
            f"- {lesson.label}, {column}: {textwrap.shorten(said, 160, placeholder=' …')}"
            for column, said in row.items()
            if said not in ("", "✓")
        ]
    return [*lines, "", *reasons]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(tried(catalogue.find(sys.argv[1]))))
    else:
        sys.exit(main())
