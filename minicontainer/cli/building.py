"""The picture of `minicontainer view`: the machine as a building.

    the host        the building, its walls drawn thick
    a container     an apartment with its tenants, the processes, and its own walls, the namespaces
    the kernel      the foundation: one for all, under every apartment

If there are more apartments than fit with their rooms, each is one line; if there are more than lines,
the last line counts the rest.
"""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from minicontainer.cli.output import plain
from minicontainer.cli.words import duration, size
from minicontainer.inspect.house import HOST, OWN, Apartment, House

CARD, CARD_MAX = 36, 76
"""Columns of an apartment, with its walls: at least, at most."""
ROWS = 9
"""Lines of an apartment, with its walls; each tenant may have one more."""
FRAME = 3
"""Lines of the building around its apartments: walls, and the line with the host's own."""
FOUNDATION = 3
BAR = 10
LABEL = "grey62"

STONE, STONE_EDGE = "grey85 on grey23", "grey23"
FULL = (0.8, 0.95)
"""Shares of what there is from which on a bar turns yellow, and red."""


def building(house: House, width: int, height: int, fill: bool = False) -> RenderableType:
    """The picture on `width` columns and at most `height` lines; `fill` makes it as high as that."""
    room = max(1, height - FRAME - FOUNDATION)
    rooms = storeys(house, width - 4, room)
    inside = Group(hall(house, width - 4), rooms)
    title = Text.assemble(("the host: ", ""), (plain(house.hostname), "bold"), f" · {tenancy(house)}")
    frame = Panel(
        inside,
        box=box.HEAVY,
        title=title,
        title_align="left",
        width=width,
        height=height - FOUNDATION if fill else None,
        border_style="bright_blue",
        subtitle=Text(" q quits ", "dim") if fill else None,
        subtitle_align="right",
    )
    return Group(frame, foundation(house, width))


def tenancy(house: House) -> str:
    """How many live here."""
    number = len(house.apartments)
    return f"{number or 'no'} container{'' if number == 1 else 's'}"


def hall(house: House, width: int) -> Text:
    """The host's own: processes outside of all containers, and its addresses."""
    inside = sum(len(apartment.tenants) for apartment in house.apartments)
    parts = [f"{house.processes - inside} processes of its own"]
    parts += [f"{name} {' '.join(addresses)}" for name, addresses in house.addresses.items()]
    text = Text(plain(" · ".join(parts)), "bright_blue", no_wrap=True, overflow="ellipsis")
    text.truncate(width, overflow="ellipsis")
    return text


def foundation(house: House, width: int) -> RenderableType:
    """The kernel, that all stand on."""
    name = Text.assemble("the kernel: ", (f"Linux {house.release}", "bold"), ", one for all")
    up = Text(f"up {duration(house.seconds)} · load {house.load:.2f}")
    cpu = gauge("cpu", house.cpu, house.cpus, f"{house.cpu:.2f} of {house.cpus}")
    memory = gauge("memory", house.memory, house.memory_total, f"{size(house.memory)} of {size(house.memory_total)}")
    stones = Group(ends(name, up), ends(cpu, memory))
    return Group(Padding(stones, (0, 2), style=STONE), Text("▀" * width, STONE_EDGE))


def ends(left: Text, right: Text) -> Table:
    """One text at each end of a line."""
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    grid.add_column(no_wrap=True, justify="right")
    grid.add_row(left, right)
    return grid


def gauge(name: str, value: float, most: float, words: str) -> Text:
    """`cpu ━━━━────── 0.40 of 1`."""
    share = min(1.0, value / most)
    filled = max(round(share * BAR), int(share > 0.001))
    colour = "red" if share >= FULL[1] else "yellow" if share >= FULL[0] else "green"
    return Text.assemble((f"{name} ", LABEL), ("━" * filled, colour), ("─" * (BAR - filled), "grey42"), f" {words}")


# -- apartments ---------------------------------------------------------------------------------


def storeys(house: House, width: int, room: int) -> RenderableType:
    """All apartments in `room` lines: side by side with what is in them, or a line each."""
    homes = house.apartments
    if not homes:
        return empty(room)
    fewest = min(len(homes), max(1, width // CARD_MAX))
    for columns in range(fewest, max(fewest, width // CARD) + 1):
        rows = [homes[start : start + columns] for start in range(0, len(homes), columns)]
        if len(rows) * ROWS <= room:
            break
    else:
        return folded(homes, width, room)
    grid = Table.grid()
    for row in rows:
        height = min(room // len(rows), ROWS + max(len(each.tenants) for each in row))
        grid.add_row(*(card(each, house, min(CARD_MAX, width // columns), height) for each in row))
    return grid


def empty(room: int) -> Text:
    """What to do about an empty house."""
    above = "\n" * max(1, room // 2 - 2)
    text = Text(f"{above}Nobody lives here yet. In another terminal:\n\n", justify="center", no_wrap=True)
    return text.append("sudo minicontainer run ./rootfs /bin/sh\n", "bold")


def card(apartment: Apartment, house: House, width: int, height: int) -> Panel:
    """An apartment with its tenants, what they use, and its walls."""
    inner = width - 4
    rows = [
        Text(plain(apartment.command), "dim"),
        *tenants(apartment, height - ROWS),
        cpu(apartment, house),
        memory(apartment, house),
        network(apartment),
        Text.assemble(("own ", LABEL), (" ".join(kinds(apartment, OWN)) or "none", "green")),
        Text(shared(apartment), "yellow"),
    ]
    for row in rows:
        row.truncate(inner, overflow="ellipsis")
    frozen = ("frozen · ", "cyan") if apartment.frozen else ""
    return Panel(
        Group(*rows),
        box=box.ROUNDED,
        title=title(apartment, width),
        title_align="left",
        subtitle=Text.assemble(frozen, (f"up {duration(apartment.seconds)}", "dim")),
        subtitle_align="right",
        width=width,
        height=height,
        border_style="green",
    )


def title(apartment: Apartment, width: int) -> Text:
    """The container's name, and its id."""
    text = Text(plain(apartment.name), "bold")
    if apartment.name != apartment.id[:12]:
        text.append(f" {apartment.id[:12]}", "not bold dim")
    text.truncate(width - 6, overflow="ellipsis")
    return text


def tenants(apartment: Apartment, room: int) -> list[Text]:
    """The processes by the numbers that they have inside: on one line, or with `room` for more a line each."""
    limit, people = apartment.limits.processes, apartment.tenants
    count = Text.assemble(("ps  ", LABEL), str(len(people)) + (f" of {limit}" if limit else ""))
    if room < 1:
        names = " · ".join(f"{each.number} {each.name}" for each in people)
        return [count.append(": ").append(plain(names), "cyan")]
    shown = people if len(people) <= room else people[: room - 1]
    longest = max([len(plain(each.name)) for each in shown], default=0)
    lines = [
        Text.assemble(
            f"{each.number:>7} ", (f"{plain(each.name):<{longest}}", "cyan"), f" {size(each.memory):>8}",
            ("" if each.number == each.pid else f"  outside {each.pid}", "dim"),
        )
        for each in shown
    ]  # fmt: skip
    rest = [Text(f"{'…':>7} {len(people) - len(shown)} more", "dim")] if len(shown) < len(people) else []
    return [count, *lines, *rest]


def cpu(apartment: Apartment, house: House) -> Text:
    """Processor time, measured by its limit or by all that there is."""
    limit = apartment.limits.cpus
    words = f"{apartment.cpu:.2f}" + (f" of {limit:g} CPUs" if limit else " CPUs")
    return gauge("cpu", apartment.cpu, limit or house.cpus, words)


def memory(apartment: Apartment, house: House) -> Text:
    """Memory, measured likewise."""
    limit = apartment.limits.memory
    words = size(apartment.memory) + (f" of {size(limit)}" if limit else "")
    return gauge("mem", apartment.memory, limit or house.memory_total, words)


def network(apartment: Apartment) -> Text:
    """Its address, its published ports, and what flows."""
    label = ("net ", LABEL)
    if apartment.traffic is None:
        return Text.assemble(label, ("the host's", "yellow"))
    if not apartment.addresses:
        return Text.assemble(label, "loopback only")
    return Text.assemble(label, " ".join([apartment.addresses[0], flow(apartment), *apartment.ports]))


def flow(apartment: Apartment) -> str:
    """Bytes a second, in and out; the totals while nothing flows."""
    traffic = apartment.traffic
    if traffic is None:
        return ""
    if traffic.receiving or traffic.sending:
        return f"↓{size(traffic.receiving)}/s ↑{size(traffic.sending)}/s"
    return f"↓{size(traffic.received)} ↑{size(traffic.sent)}"


def kinds(apartment: Apartment, owner: str) -> list[str]:
    """The kinds of its namespaces that are `owner`'s."""
    return [kind for kind, its in apartment.walls.items() if its == owner]


def shared(apartment: Apartment) -> str:
    """The namespaces that it has with others: `host's user time; with web: net`."""
    owners = sorted({owner for owner in apartment.walls.values() if owner != OWN}, key=lambda owner: owner != HOST)
    whose = ["host's" if owner == HOST else f"with {owner}:" for owner in owners]
    texts = [f"{who} {' '.join(kinds(apartment, owner))}" for who, owner in zip(whose, owners, strict=True)]
    return plain("; ".join(texts))


# -- folded -------------------------------------------------------------------------------------


def folded(apartments: list[Apartment], width: int, room: int) -> RenderableType:
    """A line for each apartment; the last counts those that there is no line for."""
    lines, roomy = room - 1, width > 100
    shown = apartments if len(apartments) <= lines else apartments[: max(0, lines - 1)]
    rest = apartments[len(shown) :]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", width=width)
    table.add_column("container", style="bold", no_wrap=True, overflow="ellipsis", max_width=20)
    for heading in ("ps", "cpu", "memory"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("network", no_wrap=True, overflow="ellipsis")
    if roomy:
        table.add_column("up", no_wrap=True)
    table.add_column("shared", style="yellow", no_wrap=True, overflow="ellipsis", ratio=2)
    if roomy:
        table.add_column("command", style="dim", no_wrap=True, overflow="ellipsis", ratio=3)
    for each in shown:
        place = " ".join([*each.addresses[:1], flow(each) * roomy]) if each.addresses else "loopback"
        place = "the host's" if each.traffic is None else place
        last = [duration(each.seconds), shared(each), plain(each.command)] if roomy else [shared(each)]
        cells = plain(each.name), str(len(each.tenants)), f"{each.cpu:.2f}", size(each.memory), place, *last
        table.add_row(*(Text(cell) for cell in cells))
    if rest:
        processes, total = sum(len(each.tenants) for each in rest), sum(each.memory for each in rest)
        used = sum(each.cpu for each in rest)
        table.add_row(f"… {len(rest)} more", str(processes), f"{used:.2f}", size(total), style="dim")
    return table
