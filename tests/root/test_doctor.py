"""The doctor on machines that lack something: each made by taking it away from one process."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from minicontainer import doctor
from minicontainer.linux import capability
from tests.support import command, environment, requires

pytestmark = requires("root")

Findings = dict[str, dict[str, str]]
Examine = Callable[..., tuple[int, Findings]]


@pytest.fixture
def examine(tmp_path: Path) -> Examine:
    """`examine("unshare", "-n")` asks the doctor under that command: exit status, findings by name."""
    root = tmp_path / "state"
    root.mkdir()

    def run(*prefix: str, **changes: str) -> tuple[int, Findings]:
        env = environment(**{"MINICONTAINER_ROOT": str(root), **changes})
        words = [*prefix, *command("doctor", "--json")]
        done = subprocess.run(words, capture_output=True, text=True, env=env, timeout=60)
        assert done.stderr == ""
        findings = json.loads(done.stdout)
        assert os.listdir(root) == [], "the doctor left something"
        return done.returncode, {finding["name"]: finding for finding in findings}

    return run


def inside(script: str) -> tuple[str, ...]:
    """The words that run the doctor after `script` in the same shell."""
    return ("sh", "-ec", script + '; exec "$@"', "sh")


# -- here -------------------------------------------------------------------------------------------


def test_this_machine_can_run_containers_and_each_line_says_what_follows(examine: Examine) -> None:
    status, findings = examine()
    assert status == 0
    assert len(findings) == len(doctor.CHECKS)
    assert set(doctor.VITAL) <= set(findings)
    for finding in findings.values():
        assert list(finding) == ["name", "state", "seen", "consequence", "remedy"]
        assert finding["seen"] and finding["consequence"]
        assert bool(finding["remedy"]) == (finding["state"] != "ok")


def test_piped_it_is_one_plain_line_for_each_finding(examine: Examine) -> None:
    done = subprocess.run(command("doctor"), capture_output=True, text=True, env=environment(), timeout=60)
    _, findings = examine()
    assert [row[9:].partition(":")[0] for row in done.stdout.splitlines()] == list(findings)
    assert {row[:8].strip() for row in done.stdout.splitlines()} <= {"ok", "limited", "missing"}


@requires("command:script")
def test_at_a_terminal_it_is_a_table(examine: Examine) -> None:
    words = " ".join(command("doctor"))
    done = subprocess.run(
        ["script", "-qec", f"stty cols 80; {words}", "/dev/null"],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment(TERM="xterm"), timeout=60,
    )  # fmt: skip
    assert done.returncode == 0
    assert "\x1b[32mok" in done.stdout and "minicontainer run ./rootfs" in done.stdout


def test_what_the_kernel_says_of_this_process_is_what_the_doctor_saw(examine: Examine) -> None:
    _, findings = examine()
    lacking = capability.names(capability.supported() & ~capability.capget()[0])
    assert all(name in findings["capabilities"]["seen"] for name in lacking)
    assert (findings["capabilities"]["state"] == "ok") == (not lacking)
    assert os.uname().release in findings["kernel"]["seen"]


# -- rights taken away ------------------------------------------------------------------------------


def without(*names: str) -> tuple[str, ...]:
    drop = ",".join("-" + name for name in names)
    return ("setpriv", f"--bounding-set={drop}", f"--inh-caps={drop}")


@requires("command:setpriv")
def test_root_without_cap_sys_admin_cannot_run_containers(examine: Examine) -> None:
    status, findings = examine(*without("sys_admin"))
    assert status == 1
    assert {findings[name]["state"] for name in ("capabilities", "namespaces", "overlayfs")} == {"missing"}
    assert "CAP_SYS_ADMIN" in findings["capabilities"]["seen"]


@requires("command:setpriv")
@pytest.mark.parametrize(("name", "option"), [("sys_resource", "--ulimit"), ("net_admin", "--network bridge")])
def test_a_missing_capability_has_its_consequence(examine: Examine, name: str, option: str) -> None:
    status, findings = examine(*without(name))
    assert status == 0
    assert findings["capabilities"]["state"] == "limited"
    assert option in findings["capabilities"]["consequence"]


@requires("command:setpriv")
def test_without_cap_net_admin_there_is_no_bridge(examine: Examine) -> None:
    assert examine(*without("net_admin"))[1]["bridge"]["state"] == "missing"


@requires("userns")
def test_the_root_of_a_user_namespace_is_no_root(examine: Examine) -> None:
    status, findings = examine("unshare", "--user", "--map-root-user")
    assert status == 1
    assert findings["user"]["state"] == "missing"
    assert findings["user namespaces"]["state"] == "ok"


@requires("command:setpriv")
def test_no_new_privs_is_seen(examine: Examine) -> None:
    assert "no_new_privs" in examine("setpriv", "--no-new-privs")[1]["user"]["seen"]


def test_user_namespaces_turned_off_are_found_with_their_setting(examine: Examine) -> None:
    script = "echo 0 > /proc/sys/user/max_user_namespaces"  # counts for the namespace it is written in
    _, findings = examine("unshare", "--user", "--map-root-user", *inside(script))
    assert findings["user namespaces"]["state"] == "missing"
    assert "sysctl -w user.max_user_namespaces" in findings["user namespaces"]["remedy"]


def test_network_namespaces_turned_off_are_found_with_their_setting(examine: Examine) -> None:
    script = "echo 0 > /proc/sys/user/max_net_namespaces"
    status, findings = examine("unshare", "--user", "--map-root-user", *inside(script))
    assert status == 1
    assert findings["namespaces"]["state"] == "missing"
    assert "user.max_net_namespaces" in findings["namespaces"]["remedy"]


# -- as an ordinary user ------------------------------------------------------------------------------

AS_USER = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
READ_ALL = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
"""The interpreter of the tests may lie where only root can read. This right changes nothing."""


@requires("command:setpriv", "userns")
def test_an_ordinary_user_is_told_what_they_have(examine: Examine, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)
    for folder in (tmp_path, *tmp_path.parents):  # pytest's are its user's alone
        if folder.owner() == "root" and folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o111)
    status, findings = examine(*AS_USER, *READ_ALL, MINICONTAINER_ROOT=str(home / "state"))
    assert status == 0
    assert findings["user"]["state"] == "limited" and "sudo" in findings["user"]["remedy"]
    assert findings["user namespaces"]["state"] == "ok"
    assert findings["overlayfs"]["state"] == "ok"
    assert os.listdir(home) == []


# -- the state folder ---------------------------------------------------------------------------------

OWN_MOUNTS = ("unshare", "--mount", "--propagation=private")


def test_a_state_folder_that_cannot_be_written(examine: Examine, tmp_path: Path) -> None:
    script = f"mount -t tmpfs -o ro none {tmp_path}/state"
    status, findings = examine(*OWN_MOUNTS, *inside(script))
    assert status == 1
    assert findings["state folder"]["state"] == "missing"
    assert "MINICONTAINER_ROOT" in findings["state folder"]["remedy"]


def test_a_state_folder_on_an_overlay_means_layers_in_memory(examine: Examine, tmp_path: Path) -> None:
    for name in ("lower", "upper", "work"):
        (tmp_path / name).mkdir()
    options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    status, findings = examine(*OWN_MOUNTS, *inside(f"mount -t overlay -o {options} none {tmp_path}/state"))
    assert status == 0
    assert findings["overlayfs"]["state"] == "limited"
    assert "memory" in findings["overlayfs"]["consequence"]


def test_little_room_is_told(examine: Examine, tmp_path: Path) -> None:
    _, findings = examine(*OWN_MOUNTS, *inside(f"mount -t tmpfs -o size=1m none {tmp_path}/state"))
    assert findings["state folder"]["state"] == "limited"


# -- the network --------------------------------------------------------------------------------------

DROPPING = """\
nft add table ip filter
nft add chain ip filter FORWARD '{ type filter hook forward priority filter; policy drop; }'"""


@requires("command:nft")
def test_a_firewall_that_drops_what_is_forwarded(examine: Examine) -> None:
    _, findings = examine("unshare", "--net", *inside(DROPPING))
    assert findings["firewall"]["state"] == "limited"
    assert "ip filter FORWARD" in findings["firewall"]["seen"]
    assert "minic0" in findings["firewall"]["remedy"]


@requires("command:nft")
def test_a_firewall_that_knows_our_bridge(examine: Examine) -> None:
    script = DROPPING + "; nft add rule ip filter FORWARD iifname minic0 accept"
    assert examine("unshare", "--net", *inside(script))[1]["firewall"]["state"] == "ok"


@requires("command:iptables-legacy")
def test_a_firewall_of_the_older_kind(examine: Examine) -> None:
    script = "iptables-legacy -P FORWARD DROP"
    if subprocess.run(["unshare", "--net", "sh", "-c", script], capture_output=True).returncode:
        pytest.skip("this kernel has no iptables of the older kind")
    assert examine("unshare", "--net", *inside(script))[1]["firewall"]["state"] == "limited"


@requires("command:nft")
def test_without_nft_there_is_no_bridge(examine: Examine) -> None:
    hide = "for place in /usr/sbin/nft /sbin/nft; do if [ -e $place ]; then mount --bind /dev/null $place; fi; done"
    status, findings = examine(*OWN_MOUNTS, *inside(hide))
    assert status == 0
    assert findings["bridge"]["state"] == "missing"
    assert "nftables" in findings["bridge"]["remedy"]


# -- control groups -------------------------------------------------------------------------------------


def test_a_machine_without_control_groups(examine: Examine) -> None:
    hide = "umount -R -l /sys/fs/cgroup"  # in mounts of its own
    status, findings = examine(*OWN_MOUNTS, *inside(hide))
    assert status == 0
    assert {findings[name]["state"] for name in ("cgroups", "limits")} == {"missing"}
    assert findings["device filter"]["state"] == "limited"
