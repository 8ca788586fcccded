"""What the doctor knows without looking: which runtimes let somebody out, and what of a configuration does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockshell.doctor.finding import GRADES
from dockshell.doctor.runtimes import Runc, escapes, findings, parse, runc_of
from dockshell.doctor.takeover import risks

_2025 = ["CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("version", "known"),
    [
        ("1.0-rc6", ["CVE-2019-5736", "CVE-2021-30465", "CVE-2024-21626", *_2025]),
        ("1.0.0-rc7", ["CVE-2021-30465", "CVE-2024-21626", *_2025]),
        ("1.0.0-rc94", ["CVE-2021-30465", "CVE-2024-21626", *_2025]),
        ("1.0.0~rc95+ds1", ["CVE-2024-21626", *_2025]),
        ("1.1.11", ["CVE-2024-21626", *_2025]),
        ("1.1.12", _2025),
        ("1.2.7", _2025),
        ("1.2.8", []),
        ("1.3.0", _2025),
        ("1.3.3", []),
        ("1.4.0-rc.2", _2025),
        ("1.4.0-rc.3", []),
        ("1.4.0", []),
        ("2.0.0", []),
    ],
)
def test_each_release_has_its_ways_out(version: str, known: list[str]) -> None:
    """A branch's own repair counts; a candidate comes before its release."""
    runc = parse(version)
    assert runc and escapes(runc) == known


def test_a_distributions_repair_counts() -> None:
    """What its changelog names is closed, whatever the number."""
    runc = parse("1.1.5+ds1")
    assert runc and runc.packaged
    assert escapes(runc, "  * CVE-2024-21626: several container breakouts") == _2025


@pytest.mark.parametrize(
    ("component", "grade"),
    [
        ({"Name": "runc", "Version": "1.1.11", "Details": {"GitCommit": "v1.1.11-0-g4bccb38"}}, "danger"),
        ({"Name": "runc", "Version": "1.1.7-0ubuntu1~22.04.2"}, "note"),
        ({"Name": "OCI Runtime (runc)", "Version": "runc version 1.1.9\nspec: 1.0.2-dev"}, "danger"),
        (
            {"Name": "OCI Runtime (runc)", "Version": "runc version 1.1.9", "Details": {"Package": "runc-1.1.9-1"}},
            "note",
        ),
        ({"Name": "runc", "Version": "1.3.3"}, ""),
        ({"Name": "OCI Runtime (crun)", "Version": "crun version 1.8.1\ncommit: f8a0"}, ""),
    ],
)
def test_only_upstreams_own_number_is_proof(component: dict[str, Any], grade: str) -> None:
    """As Docker and Podman tell it; a distribution's build may have more repairs than its number says."""
    found = list(findings({"Components": [component]}, "docker", local=False))
    assert [each.grade for each in found] == ([grade] if grade else [])


@pytest.mark.parametrize(
    ("host", "cause"),
    [
        ({"Privileged": True}, "--privileged"),
        ({"CapAdd": ["CAP_SYS_ADMIN"]}, "--cap-add SYS_ADMIN"),
        ({"CapAdd": ["all"]}, "--cap-add ALL"),
        ({"PidMode": "host", "CapAdd": ["SYS_PTRACE"]}, "--pid host"),
        ({"Devices": [{"PathOnHost": "/dev/mem"}]}, "--device /dev/mem"),
        ({"Devices": [{"PathOnHost": "/dev/sda1"}]}, "--device /dev/sda1"),
        ({"Devices": [{"PathOnHost": "/dev/mapper/root"}]}, "--device /dev/mapper/root"),
        ({"DeviceCgroupRules": ["b 8:* rwm"]}, "--device-cgroup-rule 'b 8:* rwm'"),
    ],
)
def test_what_takes_the_host_over(host: dict[str, Any], cause: str) -> None:
    """Each is a danger, and names the option to leave out."""
    assert [(each.grade, each.cause) for each in risks({"HostConfig": host})] == [("danger", cause)]


@pytest.mark.parametrize(
    ("source", "writable", "grades"),
    [
        ("/var/run/docker.sock", False, ["danger"]),
        ("/srv/own.sock", False, ["danger"]),
        ("/", False, ["danger"]),
        ("/run/", True, ["danger"]),
        ("/etc", True, ["danger"]),
        ("/var/lib/docker/../docker", True, ["danger"]),
        ("/etc", False, ["note"]),
        ("/etc/localtime", True, []),
        ("/proc", False, []),
        ("/srv/data", True, []),
        ("/home/app/etc", True, []),
    ],
)
def test_what_of_the_host_is_in_there(source: str, writable: bool, grades: list[str]) -> None:
    """A socket that can't be written to can be talked to all the same; a file that can only be read is a secret at the
    most."""
    mount = {"Type": "bind", "Source": source, "Destination": "/x", "RW": writable}
    assert [each.grade for each in risks({"Mounts": [mount]}, engine="/srv/own.sock")] == grades


@pytest.mark.parametrize(
    "host",
    [
        {"CapAdd": ["NET_ADMIN", "SYS_PTRACE"], "Devices": [{"PathOnHost": "/dev/fuse"}]},
        {"DeviceCgroupRules": ["c 189:* rwm"], "SecurityOpt": ["no-new-privileges"], "UsernsMode": ""},
        {"Privileged": False, "CapAdd": None, "Devices": None, "PidMode": "container:x"},
    ],
)
def test_what_does_not(host: dict[str, Any]) -> None:
    """No alarm for what many need and nobody breaks out by."""
    assert not list(risks({"HostConfig": host}))


@pytest.mark.parametrize("option", ["seccomp=unconfined", "seccomp:unconfined", "apparmor=unconfined"])
def test_what_is_weaker_is_noted(option: str) -> None:
    """Not a way out by itself."""
    assert [each.grade for each in risks({"HostConfig": {"SecurityOpt": [option]}})] == ["note"]


@given(_JSON, _JSON, st.dictionaries(st.sampled_from(["Mounts", "HostConfig", "Components"]), _JSON))
def test_an_engine_may_say_anything(host: Any, mount: Any, facts: dict[str, Any]) -> None:
    """No answer breaks it."""
    for told in (*risks({"HostConfig": host, "Mounts": [mount]}), *risks(facts)):
        assert told.grade in GRADES
    for components in (facts, {"Components": [{"Name": "runc", "Version": host, "Details": mount}]}):
        assert isinstance(runc_of(components), Runc | None)
