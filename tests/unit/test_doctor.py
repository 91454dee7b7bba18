"""The doctor's answer as data, as lines and as a table; and trying things out in a child process."""

from __future__ import annotations

import io
import os
import signal

import pytest

from minicontainer import doctor
from minicontainer.cli.doctor import line, table, verdict
from minicontainer.doctor import storage
from minicontainer.doctor.attempt import CRASHED, attempt, why
from minicontainer.doctor.finding import Finding, State, limited, missing, ok
from minicontainer.errors import KernelError, UnsupportedError

LONG = "a sentence that is much longer than any column of the table will ever be, so that it has to be broken " * 2
FINDINGS = [
    ok("kernel", "Linux 6.1.0", "has all calls"),
    limited("cgroups", "hybrid: " + LONG, "limits do not work: " + LONG, "boot with another kernel: " + LONG),
    missing("lab", "[red]not[/red] \x1b[31m there", "no lab", "install it"),
]


# -- data ---------------------------------------------------------------------------------------


def test_a_finding_as_json_has_five_words() -> None:
    assert FINDINGS[0].to_json() == {
        "name": "kernel",
        "state": "ok",
        "seen": "Linux 6.1.0",
        "consequence": "has all calls",
        "remedy": "",
    }


def everything_ok() -> list[Finding]:
    return [ok(name, "", "") for name in (*doctor.VITAL, "lab")]


def test_a_container_can_run_if_nothing_vital_is_missing() -> None:
    assert doctor.can_run(everything_ok())
    assert doctor.can_run([*everything_ok(), missing("lab", "", "", "")])


@pytest.mark.parametrize("name", doctor.VITAL)
def test_no_container_can_run_if_something_vital_is_missing(name: str) -> None:
    assert not doctor.can_run([*everything_ok(), missing(name, "", "", "")])
    assert doctor.can_run([*everything_ok(), limited(name, "", "", "")])


# -- lines and tables -----------------------------------------------------------------------------


def test_a_line_holds_all_and_nothing_that_a_terminal_would_obey() -> None:
    text = line(FINDINGS[2])
    assert text == r"missing  lab: [red]not[/red] \x1b[31m there; no lab; install it"


def drawn(width: int) -> str:
    from rich.console import Console

    output = io.StringIO()
    Console(file=output, width=width).print(table(FINDINGS, width))
    return output.getvalue()


@pytest.mark.parametrize("width", [60, 80, 119, 120, 160, 250])
def test_a_table_keeps_to_its_width_and_loses_nothing(width: int) -> None:
    text = drawn(width)
    assert max(map(len, text.splitlines())) <= width
    words = text.split()
    for finding in FINDINGS:
        assert {str(finding.state), finding.name} <= set(words)
    assert words.count("sentence") == LONG.count("sentence") * 3
    assert "\x1b[31m" not in text and "[red]not[/red]" in text


def test_a_wide_table_has_its_columns_side_by_side() -> None:
    assert "seen" in drawn(160).splitlines()[0] and len(drawn(160).splitlines()) < len(drawn(80).splitlines())


def test_the_verdict() -> None:
    assert "run ./rootfs" in verdict(True)
    assert "No container" in verdict(False)


# -- attempts -------------------------------------------------------------------------------------


def test_an_attempt_that_goes_well() -> None:
    assert attempt(lambda: None) is None


def test_an_attempt_changes_nothing_here(tmp_path: os.PathLike[str]) -> None:
    here = os.getcwd()
    assert attempt(lambda: os.chdir(tmp_path)) is None
    assert os.getcwd() == here


def test_an_error_comes_back_whole() -> None:
    def fail() -> None:
        raise KernelError("mount()", 1)

    error = attempt(fail)
    assert isinstance(error, KernelError) and error.errno == 1
    assert why(error) == "mount(): Operation not permitted"


def test_an_errors_remedy_is_not_part_of_why() -> None:
    assert why(UnsupportedError("it is not there", "install it")) == "it is not there"


def test_any_exception_is_an_error() -> None:
    assert "ZeroDivisionError" in str(attempt(lambda: 1 / 0))


def test_an_attempt_that_dies() -> None:
    assert str(attempt(lambda: os.kill(os.getpid(), signal.SIGKILL))) == f"{CRASHED} {signal.SIGKILL:d}"


# -- files ------------------------------------------------------------------------------------------


def test_the_mount_of_a_path_is_the_one_nearest_to_it() -> None:
    assert storage.mount_of("/proc/self/status").target == "/proc"
    assert storage.mount_of("/").target == "/"


def test_the_nearest_folder_that_exists(tmp_path: os.PathLike[str]) -> None:
    assert storage.existing(os.path.join(tmp_path, "a", "b")) == str(tmp_path)


@pytest.mark.parametrize(("count", "text"), [(5 << 20, "5 MB"), (3 << 29, "1.5 GB")])
def test_sizes(count: int, text: str) -> None:
    assert storage.size(count) == text


def test_states_spell_themselves() -> None:
    assert [str(state) for state in State] == ["ok", "limited", "missing"]
