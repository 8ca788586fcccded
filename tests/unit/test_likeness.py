"""What is asked for to get a container that is like another: from what engines tell to what they take."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dockshell.standin.likeness import binds, kept_changes, kept_config, likeness, networks, place

FACTS: dict[str, Any] = {
    "Config": {
        "User": "app",
        "Env": ["A=1"],
        "WorkingDir": "/srv",
        "Hostname": "web",
        "Cmd": ["run"],
        "Entrypoint": None,
        "Labels": {"com.docker.compose.service": "web", "own": "x"},
        "Healthcheck": {"Test": ["CMD", "true"]},
    },
    "HostConfig": {
        "NetworkMode": "bridge",
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "ReadonlyRootfs": True,
        "MemorySwappiness": 0,
        "SomethingNew": "of a later engine",
        "Binds": ["/srv:/srv"],
        "PortBindings": {"80/tcp": [{"HostPort": "80"}]},
        "RestartPolicy": {"Name": "always"},
        "Dns": ["192.0.2.1"],
        "Mounts": [{"Type": "tmpfs", "Target": "/tmp", "TmpfsOptions": {"SizeBytes": 1}}],
    },
    "NetworkSettings": {"Networks": {"bridge": {"Aliases": ["web"]}}},
    "Mounts": [
        {"Type": "volume", "Name": "abc", "Source": "/x/abc/_data", "Destination": "/data", "RW": True},
        {"Type": "bind", "Source": "/srv", "Destination": "/srv", "RW": False, "Propagation": "rslave"},
        {"Type": "tmpfs", "Source": "", "Destination": "/tmp", "RW": True},
    ],
}


def _with(**host: Any) -> dict[str, Any]:
    return {**FACTS, "HostConfig": {**FACTS["HostConfig"], **host}}


def test_confinement_is_carried_over_and_what_leads_to_it_is_not() -> None:
    """Also what we know nothing of; but no port, no label's value, no restart, and the first process is ours."""
    body = likeness(FACTS, "image", podman=False)
    host = body["HostConfig"]
    for kept in ("CapDrop", "SecurityOpt", "ReadonlyRootfs", "MemorySwappiness", "SomethingNew", "Dns"):
        assert host[kept] == FACTS["HostConfig"][kept]
    assert not {"PortBindings", "RestartPolicy", "Binds", "VolumesFrom"} & set(host)
    assert (host["AutoRemove"], host["NetworkMode"], body["Image"]) == (True, "bridge", "image")
    assert body["Labels"] == {"com.docker.compose.service": "", "own": ""}
    assert body["Entrypoint"][0] == "/dev/.dockshell/busybox"
    assert (body["User"], body["Env"], body["WorkingDir"], body["Hostname"]) == ("app", ["A=1"], "/srv", "web")


def test_mounts_are_the_containers_own() -> None:
    """Volumes by name, anonymous ones too; bind mounts as read-only as they were; a tmpfs with its options, new."""
    mounts = likeness(FACTS, "image", podman=False)["HostConfig"]["Mounts"]
    named = {"Type": "volume", "Target": "/data", "ReadOnly": False, "Source": "abc", "VolumeOptions": {"NoCopy": True}}
    assert mounts[0] == named
    assert (mounts[1]["Source"], mounts[1]["ReadOnly"], mounts[1]["BindOptions"]) == (
        "/srv",
        True,
        {"Propagation": "rslave"},
    )
    assert mounts[2]["TmpfsOptions"] == {"SizeBytes": 1} and "Source" not in mounts[2]
    assert mounts[3] == {"Type": "volume", "Target": "/dev/.dockshell", "VolumeOptions": {"NoCopy": True}}
    assert binds(FACTS) == [("/srv", "/srv")]


def test_nothing_is_made_in_the_hosts_dev() -> None:
    """With `-v /dev:/dev` what we bring lies elsewhere."""
    assert place({**FACTS, "Mounts": [{"Type": "bind", "Source": "/dev", "Destination": "/dev/"}]}) == "/.dockshell"


def test_a_network_that_is_anothers() -> None:
    """It has names and servers of names from there, and an engine refuses ours."""
    body = likeness(_with(NetworkMode="container:abc"), "image", podman=False)
    assert "Hostname" not in body and "Dns" not in body["HostConfig"]
    assert networks(_with(NetworkMode="container:abc"), podman=False) == ["container:abc"]


def test_several_networks() -> None:
    """The first is the mode, the others are joined; Podman says bridge of each."""
    joined: dict[str, Any] = {"NetworkSettings": {"Networks": {"front": {}, "back": {}}}}
    assert networks({**_with(NetworkMode="back"), **joined}, podman=False) == ["back", "front"]
    assert networks({**_with(NetworkMode="bridge"), **joined}, podman=True) == ["front", "back"]
    assert networks({**_with(NetworkMode="host"), **joined}, podman=False) == ["host"]
    # There the host name would be one more name that leads to it.
    assert "Hostname" not in likeness({**_with(NetworkMode="back"), **joined}, "image", podman=False)


def test_what_podman_tells_in_words_of_its_own() -> None:
    """Zeros that mean nothing, a runtime called oci, limits under the kernel's names, HOSTNAME as if it were set,
    and what it refuses together."""
    device = {"PathOnHost": "/dev/null", "PathInContainer": "/dev/nothing", "CgroupPermissions": ""}
    facts = _with(
        Runtime="oci", Ulimits=[{"Name": "RLIMIT_NOFILE", "Soft": 1, "Hard": 2}], Devices=[device],
        NanoCpus=1, CpuQuota=2, CpuPeriod=3, IpcMode="host", ShmSize=4,
    )  # fmt: skip
    facts["Config"] = {**FACTS["Config"], "Env": ["A=1", "HOSTNAME=web"]}
    body = likeness(facts, "image", podman=True)
    assert not {"Runtime", "MemorySwappiness", "CpuQuota", "CpuPeriod", "ShmSize"} & set(body["HostConfig"])
    assert body["HostConfig"]["Devices"] == [{**device, "CgroupPermissions": "rwm"}]
    assert likeness(_with(Privileged=True, Devices=[device]), "image", podman=True)["HostConfig"]["Devices"] == []
    assert body["HostConfig"]["Ulimits"] == [{"Name": "nofile", "Soft": 1, "Hard": 2}]
    assert body["Env"] == ["A=1"]


def test_what_is_kept_starts_as_the_container_did() -> None:
    """Its own command, an empty entrypoint where it has none, and no command of ours in the place of one."""
    config = kept_config(FACTS, {"own": "x"})
    assert (config["Cmd"], config["Entrypoint"], config["Labels"]) == (["run"], [], {"own": "x"})
    assert config["Healthcheck"] == {"Test": ["CMD", "true"]} and "Hostname" not in config
    assert kept_changes(FACTS, {"own": 'a "b"'}) == [
        "ENTRYPOINT []",
        'CMD ["run"]',
        "STOPSIGNAL SIGTERM",
        'LABEL own="a \\"b\\""',
    ]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_PARTS = (
    "Config",
    "HostConfig",
    "NetworkSettings",
    "Mounts",
    "NetworkMode",
    "Labels",
    "Networks",
    "Destination",
    "Env",
)


@given(st.dictionaries(st.sampled_from(_PARTS), st.dictionaries(st.sampled_from(_PARTS), _JSON) | _JSON), st.booleans())
def test_any_facts_are_read(facts: dict[str, Any], podman: bool) -> None:
    """Whatever an engine tells, there is a request, which it may refuse."""
    assert likeness(facts, "image", podman)["HostConfig"]["AutoRemove"] is True
