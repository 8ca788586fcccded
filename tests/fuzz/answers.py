"""Answers of an engine that are right but for a few places: those that a fuzzer would hardly make of their bytes."""

from __future__ import annotations

import copy
import json
from typing import Any

__all__ = ["altered"]

_ID = "a1" * 32
_NETWORKS = {"Networks": {"web": {"IPAddress": "172.17.0.2", "GlobalIPv6Address": ""}, "bridge": {}}}
_HOST = {
    "GroupAdd": ["7"],
    "Runtime": "runc",
    "Memory": 5,
    "NanoCpus": 7,
    "OomScoreAdj": 3,
    "Ulimits": [{"Name": "RLIMIT_NOFILE", "Hard": 9, "Soft": 9}],
    "SecurityOpt": ["no-new-privileges", "seccomp=unconfined"],
    "Sysctls": {"kernel.x": "1", "net.y": "2"},
    "Devices": [{"PathOnHost": "/dev/null", "CgroupPermissions": ""}],
    "NetworkMode": "web",
    "UsernsMode": "private",
    "IpcMode": "private",
    "UTSMode": "",
    "Tmpfs": {"/run": ""},
    "Privileged": False,
    "Mounts": [{"Type": "volume", "Target": "/v", "VolumeOptions": {"NoCopy": False}}],
}
_FACTS = {
    "Id": _ID,
    "Name": "/web",
    "Created": "2024-02-29T12:00:00.123456789Z",
    "State": {"Status": "running", "Paused": False, "Pid": 4711, "StartedAt": "2024-02-29T14:00:01.5+02:00"},
    "Config": {
        "Image": "busybox",
        "User": "app:staff",
        "Env": ["A=1", "HOSTNAME=host"],
        "Cmd": ["sh"],
        "Entrypoint": None,
        "WorkingDir": "/srv",
        "Hostname": "host",
        "Labels": {"com.docker.compose.service": "web"},
        "Umask": "0027",
        "Healthcheck": {"Test": ["NONE"]},
        "ExposedPorts": {"22/tcp": {}},
    },
    "HostConfig": _HOST,
    "Mounts": [
        {"Type": "bind", "Source": "/a", "Destination": "/b", "RW": False, "Propagation": "rprivate"},
        {"Type": "volume", "Name": "v", "Destination": "/v"},
        {"Type": "tmpfs", "Destination": "/run"},
    ],
    "NetworkSettings": {**_NETWORKS, "Ports": {"22/tcp": [{"HostIp": "0.0.0.0", "HostPort": "2222"}], "53/udp": None}},
    "GraphDriver": {"Name": "overlay2", "Data": {"UpperDir": "/var", "LowerDir": "/etc:/usr"}},
    "RepoTags": ["a:b"],
}
_ROWS = [
    {
        "Id": _ID,
        "Names": ["/other/alias", "/web"],
        "Image": "busybox",
        "State": "running",
        "Status": "Up 3 minutes",
        "Created": 1709208000,
        "Labels": {"k": "v"},
        "Ports": [{"IP": "::", "PrivatePort": 22, "PublicPort": 2222, "Type": "tcp"}],
        "NetworkSettings": _NETWORKS,
        "Path": "/etc/x",
        "Kind": 0,
    }
]
_VOLUMES = {"Volumes": [{"Name": "v", "Labels": {"x": "1"}}], "Warnings": None}
_TOLD = [{"stream": "Step 1/2 : RUN x\n"}, {"status": "Pulling"}, {"error": "no", "errorDetail": {"message": "no"}}]
_WHOLE = (_FACTS, _ROWS, _VOLUMES, _TOLD)
_ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 1 << 40, 1 << 2000, 1e300, float("nan"), float("inf"), [], {}),
    *("", "x", "/", "\ud800", "\x1b[2J", "9" * 400, "99999", "-0", "0o7", "999999999", "a:b", "container:"),
    *("0001-01-01T00:00:00Z", "2024-01-01T00:00:nanZ", "2024-99-01T00:00:00Z", f"{'9' * 400}-01-01T00:00:00Z"),
    *([None], [1], ["a", 2], [[]], [{}], {"": None}, {"a": 1}, {"22/tcp": [{}]}, {"x/tcp": [{"HostPort": "1"}]}),
)


def _places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The keys that lead to each value in it."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, child in children for found in _places(child, (*path, key)))]


_PLACES = [_places(each) for each in _WHOLE]


def altered(data: bytes) -> bytes:
    """A byte that says which answer, and for each change two: where, and what is there instead, or that nothing is →
    its JSON."""
    which = data[0] % len(_WHOLE) if data else 0
    whole: Any = copy.deepcopy(_WHOLE[which])
    for where, what in zip(data[1::2], data[2::2], strict=False):
        path = _PLACES[which][where % len(_PLACES[which])]
        odd = copy.deepcopy(_ODD[what % len(_ODD)])
        if not path:
            whole = odd
            continue
        place = whole
        try:
            for key in path[:-1]:
                place = place[key]
            if what == 0xFF:
                del place[path[-1]]
            else:
                place[path[-1]] = odd
        except (KeyError, IndexError, TypeError):
            continue  # another change took that away
    return json.dumps(whole).encode()
