"""Capabilities: names, sets, and the calls that a container's process makes of a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minicontainer.errors import SpecError
from minicontainer.isolation.capabilities import Capabilities, grantable
from minicontainer.isolation.identity import Identity
from minicontainer.isolation.no_new_privs import NoNewPrivs
from minicontainer.linux import calls, capability, proc
from minicontainer.linux.capability import NAMES, CapabilitySet
from minicontainer.runtime.container import Container
from minicontainer.spec import Capabilities as Sets
from minicontainer.spec import Namespace, Spec

DOCKER = 0xA80425FB
DEFAULT = capability.names(DOCKER)


@pytest.mark.parametrize("name", ["CAP_NET_RAW", "cap_net_raw", "NET_RAW", "net_raw", "Net_Raw"])
def test_spellings(name: str) -> None:
    assert capability.parse(name) == 1 << 13
    assert repr(capability.parse(name)) == "CAP_NET_RAW"


def test_all() -> None:
    assert capability.parse("ALL") == capability.parse("cap_all") == capability.supported()
    assert capability.supported().bit_length() == capability.last() + 1


@pytest.mark.parametrize("name", ["", "CAP_", "CAP_FOO", "NET RAW", "CAP_CAP_KILL", "13"])
def test_other_names(name: str) -> None:
    with pytest.raises(SpecError, match=r"there is no capability .*capabilities\(7\) lists them"):
        capability.parse(name)


def test_numbers_are_the_kernels() -> None:
    assert len(DEFAULT) == 14
    for number, name in ((0, "CHOWN"), (21, "SYS_ADMIN"), (27, "MKNOD"), (31, "SETFCAP"), (40, "CHECKPOINT_RESTORE")):
        assert NAMES[number] == "CAP_" + name


def test_a_process_s_own_sets() -> None:
    status = proc.status()
    sets = [int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh")]
    assert list(capability.capget()) == sets


def test_spelling_of_capabilities_without_a_name() -> None:
    assert repr(capability.Capability(21)) == "CAP_SYS_ADMIN"
    assert repr(capability.Capability(63)) == "63"
    assert repr(CapabilitySet(1 | 1 << 63)) == "CAP_CHOWN|0x8000000000000000"


# -- what can be granted ------------------------------------------------------------------------


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Container:
    """A container with Docker's capabilities, made by a process that has all but CAP_SYS_RESOURCE."""
    own = CapabilitySet(capability.supported() & ~(1 << 24))
    monkeypatch.setattr(capability, "capget", lambda: (own, own, capability.NONE))
    spec = Spec()
    spec.process.capabilities = Sets(bounding=DEFAULT, effective=DEFAULT, permitted=DEFAULT)
    return Container("id", spec, str(tmp_path))


def sets_of(container: Container) -> Sets:
    assert container.spec.process.capabilities is not None
    return container.spec.process.capabilities


def test_docker_s_capabilities(container: Container) -> None:
    sets, left_out = grantable(container, 40)
    assert sets == {"bounding": DOCKER, "effective": DOCKER, "permitted": DOCKER, "inheritable": 0, "ambient": 0}
    assert not left_out


def test_what_we_do_not_have_is_left_out_with_a_warning(container: Container) -> None:
    sets_of(container).permitted = sets_of(container).bounding = ["CAP_KILL", "CAP_SYS_RESOURCE", "CAP_FUTURE"]
    sets, left_out = grantable(container, 40)
    assert sets["permitted"] == sets["bounding"] == 1 << 5
    assert left_out == ["CAP_SYS_RESOURCE", "CAP_FUTURE"]
    Capabilities().before(container)
    (warning,) = container.record["warnings"]
    assert warning.endswith("CAP_SYS_RESOURCE, CAP_FUTURE")


def test_what_an_older_kernel_lacks_is_left_out(container: Container) -> None:
    sets_of(container).permitted = ["CAP_KILL", "CAP_CHECKPOINT_RESTORE"]
    sets, left_out = grantable(container, 39)
    assert sets["permitted"] == 1 << 5
    assert left_out == ["CAP_CHECKPOINT_RESTORE"]


def test_in_a_user_namespace_everything_is_there(container: Container) -> None:
    container.spec.linux.namespaces = [Namespace(type="user")]
    sets_of(container).permitted = ["CAP_SYS_RESOURCE"]
    sets, left_out = grantable(container, 40)
    assert sets["permitted"] == 1 << 24
    assert not left_out


def test_the_kernel_s_rules_between_the_sets(container: Container) -> None:
    container.spec.process.capabilities = Sets(
        bounding=["CAP_KILL"],
        permitted=["CAP_KILL"],
        effective=["CAP_KILL", "CAP_CHOWN"],
        inheritable=["CAP_KILL", "CAP_FOWNER"],
        ambient=["CAP_KILL", "CAP_FOWNER"],
    )
    sets, _ = grantable(container, 40)
    assert set(sets.values()) == {1 << 5}


# -- the calls ----------------------------------------------------------------------------------


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls that would have been made."""
    noted: list[str] = []
    monkeypatch.setattr(calls, "observer", lambda call: noted.append(str(call)))
    return noted


def enter(feature: Any, container: Container) -> None:
    feature.before(container)
    feature.inside(container)


def test_the_bounding_set_goes_first_and_ambient_comes_last(container: Container, made: list[str]) -> None:
    sets_of(container).inheritable = sets_of(container).ambient = ["CAP_KILL"]
    enter(Capabilities(), container)
    drops = [call for call in made if call.startswith("capbset_drop")]
    assert drops == [f"capbset_drop({name})" for name in NAMES if name not in DEFAULT][: len(drops)]
    assert len(drops) == capability.last() + 1 - 14
    docker = repr(CapabilitySet(DOCKER))
    assert made[0].startswith("capset(")
    assert made[1:-3] == drops
    assert made[-3:] == [
        "cap_ambient_clear_all()",
        f"capset({docker}, {docker}, CAP_KILL)",
        "cap_ambient_raise(CAP_KILL)",
    ]


def test_capabilities_of_the_future_are_dropped(
    container: Container, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capability, "last", lambda: 45)
    enter(Capabilities(), container)
    assert "capbset_drop(45)" in made


def test_without_a_word_on_capabilities_they_stay(container: Container, made: list[str]) -> None:
    container.spec.process.capabilities = None
    enter(Capabilities(), container)
    assert made == []


def test_identity(container: Container, made: list[str]) -> None:
    user = container.spec.process.user
    user.uid, user.gid, user.additional_gids = 1000, 100, [7, 8]
    enter(Identity(), container)
    assert made == [
        "set_keepcaps(True)",
        "setgroups([7, 8])",
        "setresgid(100, 100, 100)",
        "setresuid(1000, 1000, 1000)",
    ]


def test_identity_with_the_wall_of_capabilities_down(container: Container, made: list[str]) -> None:
    """Then the kernel's own rule holds: who leaves uid 0 leaves the capabilities behind."""
    container.spec.minicontainer.without = ["capabilities"]
    enter(Identity(), container)
    assert made[0] == "setgroups([])"


@pytest.mark.parametrize("number", [-1, 4294967295, 1 << 40])
def test_an_id_that_means_leave_it(container: Container, number: int) -> None:
    container.spec.process.user.uid = number
    with pytest.raises(SpecError, match="is not a user or group id"):
        Identity().before(container)
    container.spec.process.user.uid = 0
    container.spec.process.user.additional_gids = [5, number]
    with pytest.raises(SpecError, match="is not a user or group id"):
        Identity().before(container)


def test_no_new_privs(container: Container, made: list[str]) -> None:
    enter(NoNewPrivs(), container)
    assert made == []
    container.spec.process.no_new_privileges = True
    enter(NoNewPrivs(), container)
    assert made == ["set_no_new_privs()"]
