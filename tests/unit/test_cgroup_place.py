"""Where a container's control group goes."""

from __future__ import annotations

import pytest

from minicontainer.errors import MinicontainerError
from minicontainer.isolation import cgroup
from minicontainer.runtime.container import Container
from minicontainer.spec import Linux, Spec

TOP = "/sys/fs/cgroup/user.slice/user-7.slice"


def place(path: str, top: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(cgroup.cgroup2, "mount_point", lambda: "/sys/fs/cgroup")
    return cgroup.place(Container("abc", Spec(linux=Linux(cgroups_path=path)), "/nowhere"), top)


@pytest.mark.parametrize(
    ("path", "top", "group"),
    [
        ("", "/sys/fs/cgroup", "/sys/fs/cgroup/minicontainer/abc"),
        ("", TOP, f"{TOP}/minicontainer/abc"),
        ("/docker/abc", "/sys/fs/cgroup", "/sys/fs/cgroup/docker/abc"),
        ("/docker//./abc/", "/sys/fs/cgroup", "/sys/fs/cgroup/docker/abc"),
        ("jobs/abc", TOP, f"{TOP}/jobs/abc"),
        ("/user.slice/user-7.slice/jobs", TOP, f"{TOP}/jobs"),
        ("system.slice:docker:abc", "/sys/fs/cgroup", "/sys/fs/cgroup/system.slice/docker-abc.scope"),
        (":docker:abc", "/sys/fs/cgroup", "/sys/fs/cgroup/system.slice/docker-abc.scope"),
        ("a-b.slice:c:d", "/sys/fs/cgroup", "/sys/fs/cgroup/a.slice/a-b.slice/c-d.scope"),
    ],
)
def test_place(path: str, top: str, group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place(path, top, monkeypatch) == group


@pytest.mark.parametrize("path", ["/", ".", "..", "/..", "/a/../../b", "../x", "//"])
def test_a_path_that_leaves_or_names_the_root_is_refused(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MinicontainerError) as raised:
        place(path, "/sys/fs/cgroup", monkeypatch)
    assert raised.value.remedy


@pytest.mark.parametrize("path", ["/elsewhere/abc", "/user.slice/user-7.slice", "/user.slice/user-77.slice/abc"])
def test_a_path_outside_the_delegated_group_is_refused(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MinicontainerError, match="may not make the control group"):
        place(path, TOP, monkeypatch)
