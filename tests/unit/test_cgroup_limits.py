"""From the specification's limits to the words in a control group's files."""

from __future__ import annotations

from typing import Any

import pytest

from minicontainer.errors import SpecError
from minicontainer.isolation import limits
from minicontainer.spec import Resources

GIB = 1 << 30


def resources(**json: Any) -> Resources:
    problems: list[str] = []
    made = Resources.from_json(json, problems)
    assert not problems
    return made


@pytest.mark.parametrize(
    ("json", "rows"),
    [
        ({}, []),
        ({"memory": {"limit": GIB}}, [("memory.max", str(GIB))]),
        ({"memory": {"limit": -1}}, [("memory.swap.max", "max"), ("memory.max", "max")]),
        (
            {"memory": {"limit": GIB, "swap": 3 * GIB, "reservation": 1 << 20}},
            [("memory.swap.max", str(2 * GIB)), ("memory.max", str(GIB)), ("memory.low", "1048576")],
        ),
        ({"memory": {"limit": GIB, "swap": GIB}}, [("memory.swap.max", "0"), ("memory.max", str(GIB))]),
        ({"memory": {"limit": GIB, "swap": -1}}, [("memory.swap.max", "max"), ("memory.max", str(GIB))]),
        ({"memory": {"limit": 0, "swap": 0, "reservation": 0}}, []),
        ({"cpu": {"shares": 0, "quota": 0, "period": 0}}, []),
        ({"cpu": {"quota": 50000}}, [("cpu.max", "50000 100000")]),
        ({"cpu": {"quota": 50000, "period": 20000}}, [("cpu.max", "50000 20000")]),
        ({"cpu": {"quota": -1, "period": 20000}}, [("cpu.max", "max 20000")]),
        ({"cpu": {"cpus": "0", "mems": "0"}}, [("cpuset.cpus", "0"), ("cpuset.mems", "0")]),
        ({"pids": {"limit": 64}}, [("pids.max", "64")]),
        ({"pids": {"limit": -1}}, [("pids.max", "max")]),
        ({"pids": {"limit": 0}}, [("pids.max", "max")]),
        (
            {
                "blockIO": {
                    "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1048576}],
                    "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 0}],
                }
            },
            [("io.max", "8:0 rbps=1048576"), ("io.max", "8:16 wiops=max")],
        ),
        ({"unified": {"memory.high": "1G"}}, [("memory.high", "1G")]),
    ],
)
def test_settings(json: dict[str, Any], rows: list[tuple[str, str]]) -> None:
    limits.check(resources(**json))
    assert limits.settings(resources(**json)) == rows


@pytest.mark.parametrize(
    ("shares", "weight"), [(0, 1), (2, 1), (3, 2), (1024, 100), (2048, 174), (262144, 10000), (10**9, 10000)]
)
def test_cpu_weight(shares: int, weight: int) -> None:
    assert limits.weight_of_shares(shares) == weight


def test_cpu_weight_rises_with_the_shares() -> None:
    weights = [limits.weight_of_shares(shares) for shares in range(2, 262145, 7)]
    assert weights == sorted(weights)
    assert set(weights) <= set(range(1, 10001))


@pytest.mark.parametrize(
    ("json", "cause"),
    [
        ({"memory": {"limit": 6 * (1 << 20) - 1}}, "Minimum memory limit allowed is 6MB"),
        ({"memory": {"limit": -2}}, "negative"),
        ({"memory": {"limit": GIB, "swap": GIB - 1}}, "below the one for memory"),
        ({"memory": {"swap": GIB}}, "without one for memory"),
        ({"memory": {"limit": GIB, "reservation": GIB + 1}}, "above the limit"),
        ({"cpu": {"quota": 999}}, "quota of 999"),
        ({"cpu": {"period": 999}}, "period of 999"),
        ({"cpu": {"period": 1000001}}, "period of 1000001"),
        ({"cpu": {"shares": -1}}, "shares of -1"),
        ({"cpu": {"cpus": "0-9999"}}, "not available - requested 0-9999"),
        ({"cpu": {"cpus": "zero"}}, "not a list of numbers"),
        ({"cpu": {"cpus": "1-"}}, "not a list of numbers"),
        ({"cpu": {"mems": "4096"}}, "memory nodes are not available"),
        ({"blockIO": {"weight": 9}}, "weight of 9"),
        ({"blockIO": {"weight": 1001}}, "weight of 1001"),
        ({"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": -1}]}}, "rbps for device 8:0"),
        ({"unified": {"../memory.max": "1"}}, "'../memory.max' is not"),
        ({"unified": {"..": "1"}}, "'..' is not"),
        ({"unified": {"": "1"}}, "'' is not"),
    ],
)
def test_unsound_limits_are_refused(json: dict[str, Any], cause: str) -> None:
    with pytest.raises(SpecError, match=cause) as raised:
        limits.check(resources(**json))
    assert raised.value.remedy


@pytest.mark.parametrize("cpus", [0, 0.001, -1, 100000])
def test_quota_of_too_many_or_too_few_cpus(cpus: float) -> None:
    with pytest.raises(SpecError, match=r"Range of CPUs is from 0\.01 to"):
        limits.quota(cpus)


def test_quota() -> None:
    assert (limits.quota(0.5), limits.quota(1), limits.quota(0.01)) == (50000, 100000, 1000)


def test_controllers_asked_for() -> None:
    """Only what limits counts: engines fill in zeros and -1 for what nobody asked for."""
    unlimited = resources(
        memory={"limit": -1, "swap": -1}, cpu={"shares": 0, "quota": -1}, pids={"limit": -1}, blockIO={"weight": 0}
    )
    assert limits.asked(unlimited) == {}
    limited = resources(
        memory={"limit": GIB},
        pids={"limit": 1},
        cpu={"cpus": "0"},
        unified={"hugetlb.2MB.max": "0", "cgroup.max.depth": "1"},
    )
    assert set(limits.asked(limited)) == {"memory", "pids", "cpuset", "hugetlb"}


def test_a_kernel_file_that_is_missing_is_named(tmp_path: Any) -> None:
    with pytest.raises(limits.UnsupportedError, match=r"no io\.weight"):
        limits.apply(str(tmp_path), resources(blockIO={"weight": 500}))


def test_io_weight_for_the_scheduler_that_is_there(tmp_path: Any) -> None:
    assert [limits.weight_row(str(tmp_path), weight) for weight in (10, 100, 1000)] == [
        ("io.weight", "1"),
        ("io.weight", "910"),
        ("io.weight", "10000"),
    ]
    (tmp_path / "io.bfq.weight").touch()
    assert limits.weight_row(str(tmp_path), 500) == ("io.bfq.weight", "500")
