"""The picture of the house keeps within its frame, whoever lives in it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from minicontainer.cli.building import building
from minicontainer.inspect.groups import Limits
from minicontainer.inspect.house import Apartment, House, Tenant, Traffic

SIZES = [(80, 24), (160, 50), (40, 12), (100, 30), (250, 70)]
MIB = 1 << 20


def apartment(number: int, people: int = 2, name: str = "") -> Apartment:
    return Apartment(
        id=f"{number:064x}",
        name=name or f"web-{number}",
        command="/usr/bin/server --with 'a long list' of --options that no apartment is wide enough for, by far",
        root="/srv/rootfs",
        seconds=4000.0 * number,
        tenants=[Tenant(n + 1, 5000 + n, f"worker-{n}", n * MIB) for n in range(people)],
        walls={"mnt": "own", "pid": "own", "net": "web-0" if number % 3 else "own", "user": "host", "time": "host"},
        addresses=[f"172.29.0.{number % 250 + 2}", "fd00:172:29::2"],
        ports=["8080→80/tcp", "8443→443/tcp"],
        memory=40 * MIB,
        cpu=0.25,
        limits=Limits(memory=64 * MIB, processes=100, cpus=0.5) if number % 2 else Limits(),
        traffic=Traffic(10, 20, 1000.0 * number, 0.0),
        frozen=number == 1,
    )


def house(apartments: list[Apartment]) -> House:
    addresses = {f"eth{n}": [f"192.0.2.{n}"] for n in range(12)}
    return House(
        "host.example.org", "6.18.0-very-long-release+debian13u1-amd64", 1e6, 4, 1.5, 3 << 30, 8 << 30, 0.7, 120,
        addresses, apartments,
    )  # fmt: skip


def draw(apartments: list[Apartment], columns: int, lines: int, fill: bool = False) -> list[str]:
    console = Console(file=io.StringIO(), width=columns, height=lines, color_system=None, legacy_windows=False)
    console.print(building(house(apartments), columns, lines, fill))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(("columns", "lines"), SIZES)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 9, 16, 17, 40, 300])
def test_it_fits(count: int, columns: int, lines: int) -> None:
    apartments = [apartment(number) for number in range(count)]
    rows = draw(apartments, columns, lines)
    assert len(rows) <= lines
    assert {len(row) for row in rows} == {columns}
    assert len(draw(apartments, columns, lines, fill=True)) == lines


@pytest.mark.parametrize(("columns", "lines", "most"), [(80, 24, 4), (160, 50, 16)])
def test_all_rooms_are_shown_as_long_as_there_is_room(columns: int, lines: int, most: int) -> None:
    text = "\n".join(draw([apartment(number) for number in range(most)], columns, lines))
    assert text.count("╭") == most
    text = "\n".join(draw([apartment(number) for number in range(most + 1)], columns, lines))
    assert "╭" not in text and f"web-{most} " in text


def test_who_has_no_line_is_counted() -> None:
    text = "\n".join(draw([apartment(number) for number in range(100)], 80, 24))
    shown = sum(f" web-{number} " in text for number in range(100))
    assert f"… {100 - shown} more" in " ".join(text.split())
    assert f"… {100 - shown} more {2 * (100 - shown)} " in " ".join(text.split())
    assert "100 containers" in text


def test_a_crowd_in_one_apartment_is_counted_too() -> None:
    text = " ".join("\n".join(draw([apartment(1, people=500)], 80, 24)).split())
    assert "ps 500 of 100" in text and "1 worker-0" in text
    shown = text.count("worker-")
    assert f"… {500 - shown} more" in text


def test_limits_rates_and_walls_are_told() -> None:
    text = " ".join("\n".join(draw([apartment(0, name="db"), apartment(1)], 160, 50)).split())
    assert "0.25 of 0.5 CPUs" in text and "40 MiB of 64 MiB" in text and "ps 2 of 100" in text
    assert "0.25 CPUs" in text
    assert "frozen · up 1h6m" in text
    assert "host's user time; with web-0: net" in text and "own mnt pid net" in text
    assert "172.29.0.2 ↓10 B ↑20 B 8080→80/tcp" in text and "↓1.0 KiB/s ↑0 B/s" in text


def test_names_cannot_break_the_frame() -> None:
    rows = draw([apartment(1, name="[red]\x1b[2J\nevil[/]" * 5)], 80, 24)
    assert {len(row) for row in rows} == {80}
    assert "\x1b" not in "".join(rows) and r"\x1b[2J\nevil" in "".join(rows)
