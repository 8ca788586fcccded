"""HostConfig, as an engine tells of one container → as it takes it for another. Pure.
https://docs.docker.com/engine/api/v1.41/#operation/ContainerCreate"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Host = Mapping[str, Any]

__all__ = ["as_list", "as_podman_takes_it", "as_rows", "as_table", "as_text", "confinement"]

# What bounds a container's processes in all, and each of them; and who starts them.
_LIMITS = (
    "BlkioDeviceReadBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteBps", "BlkioDeviceWriteIOps", "BlkioWeight",
    "BlkioWeightDevice", "CgroupParent", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod", "CpuRealtimeRuntime",
    "CpuShares", "CpusetCpus", "CpusetMems", "Memory", "MemoryReservation", "MemorySwap", "MemorySwappiness",
    "NanoCpus", "PidsLimit", "Runtime", "StorageOpt", "Ulimits",
)  # fmt: skip
# What an engine gives without being asked is stricter than these.
_LOOSE = ("unconfined", "disable", "false")
_OWN_SYSCTLS = ("kernel.", "fs.mqueue.")  # those of the IPC namespace; net.* are those of the network that it shares


def confinement(host: Host, container: str, podman: bool) -> dict[str, Any]:
    """The part of a HostConfig that keeps a container which shares the pid namespace of another, and gets no right
    besides, from being a way out of that one's limits. host: the other's; container: its id."""
    told = {name: host[name] for name in _LIMITS if host.get(name)}
    told["OomScoreAdj"] = max(0, _number(host.get("OomScoreAdj")))
    told["ShmSize"] = 1 << 16
    told["Sysctls"] = {
        name: value for name, value in as_table(host.get("Sysctls")).items() if name.startswith(_OWN_SYSCTLS)
    }
    told_options = map(str, as_list(host.get("SecurityOpt")))
    options = [each for each in told_options if not each.replace("=", ":").endswith(_LOOSE)]
    told["SecurityOpt"] = [*(each for each in options if "no-new-privileges" not in each), "no-new-privileges"]
    told["CapDrop"] = ["ALL"]
    if not podman:
        return told
    if host.get("UsernsMode") not in (None, "", "host"):
        told["UsernsMode"] = f"container:{container}"  # Docker does the same by itself
    return as_podman_takes_it(told)


def as_podman_takes_it(host: Host) -> dict[str, Any]:
    """HostConfig as Podman tells it → as it takes it. What isn't set it tells as 0, which is something else; the
    runtime by a name that it doesn't know; a device without its mode; one limit of processor time in two ways."""
    told = {name: value for name, value in host.items() if value and name != "Runtime"}
    told["Ulimits"] = [
        {**each, "Name": as_text(each.get("Name")).lower().removeprefix("rlimit_")}
        for each in as_rows(told.get("Ulimits"))
    ]
    # Those of a privileged one are all of the machine's.
    devices = [] if told.get("Privileged") else as_rows(told.get("Devices"))
    told["Devices"] = [{**each, "CgroupPermissions": each.get("CgroupPermissions") or "rwm"} for each in devices]
    if told.get("NanoCpus"):
        told.pop("CpuPeriod", None)
        told.pop("CpuQuota", None)
    if as_text(told.get("IpcMode")).partition(":")[0] in ("host", "container"):
        told.pop("ShmSize", None)
    return told


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def as_text(value: Any) -> str:
    """What an engine says where there should be a text; an empty one for anything else. The next three likewise."""
    return value if isinstance(value, str) else ""


def as_table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def as_rows(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in as_list(value) if isinstance(each, dict)]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
