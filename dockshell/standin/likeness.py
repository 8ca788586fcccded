"""A container's facts → what to ask the engine for, to get another that is like it. Pure.

What is known of confinement and whatever an engine may add to it is carried over as it stands; left out is what would
lead others to the stand-in (names, ports, labels) or has it outlive us. https://docs.docker.com/engine/api/v1.41/"""

from __future__ import annotations

from dockshell.engines.host_config import as_list, as_podman_takes_it, as_rows, as_table, as_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    Facts = Mapping[str, Any]

__all__ = ["binds", "blanked", "kept_changes", "kept_config", "likeness", "named", "networks", "place"]

# The files, the networks and the log are seen to apart; the rest belongs to a container that lives on.
_ASIDE = (
    "AutoRemove", "Binds", "ContainerIDFile", "Init", "Links", "LogConfig", "Mounts", "NetworkMode", "PortBindings",
    "PublishAllPorts", "RestartPolicy", "VolumesFrom",
)  # fmt: skip
_OTHERS_NETWORK = ("Dns", "DnsOptions", "DnsSearch", "ExtraHosts")  # it has them of whose network it is
_SHARED = "container:"


def place(facts: Facts) -> str:
    """The directory at which the stand-in has what we bring: in /dev, which is of no image; but where that is the
    host's own, as with `-v /dev:/dev`, nothing may be made in it."""
    covered = any(as_text(each.get("Destination")).rstrip("/") == "/dev" for each in as_rows(facts.get("Mounts")))
    return "/.dockshell" if covered else "/dev/.dockshell"


def likeness(facts: Facts, image: str, podman: bool) -> dict[str, Any]:
    """The body of a request for a container of that image that is as the one with these facts (inspect), but for its
    first process, which only waits for the end of its input. podman: the engine is one."""
    config, host = as_table(facts.get("Config")), as_table(facts.get("HostConfig"))
    mode = networks(facts, podman)[0]
    at = place(facts)
    body: dict[str, Any] = {
        "Image": image,
        # Two processes, for the shell buries what is orphaned in there.
        "Entrypoint": [f"{at}/busybox", "sh", "-c"],
        "Cmd": [f"{at}/busybox cat >/dev/null; exit"],
        "StopSignal": "SIGKILL",  # the kernel keeps any other from a first process that has no handler for it
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "Healthcheck": {"Test": ["NONE"]},
        "Labels": blanked(config),
    }
    for name in ("User", "Env", "WorkingDir", "Hostname", "Domainname"):
        if config.get(name):
            body[name] = config[name]
    told = {name: value for name, value in host.items() if name not in _ASIDE}
    if podman:
        told = as_podman_takes_it(told)
        own = f"HOSTNAME={config.get('Hostname')}"
        body["Env"] = [each for each in as_list(config.get("Env")) if each != own]
    if mode.startswith(_SHARED):
        for name in _OTHERS_NETWORK:
            told.pop(name, None)
    # An engine gives a user-defined network the host name as one more name of the container (moby's
    # updateNetworkConfig).
    if mode.startswith(_SHARED) or as_text(host.get("UTSMode")) == "host" or (not podman and named(mode)):
        body.pop("Hostname", None)
        body.pop("Domainname", None)
    body["HostConfig"] = {
        **told,
        "AutoRemove": True,
        "LogConfig": {"Type": "none"},
        "NetworkMode": mode,
        "Mounts": [*_mounts(facts), {"Type": "volume", "Target": at, "VolumeOptions": {"NoCopy": True}}],
    }
    return body


def networks(facts: Facts, podman: bool) -> list[str]:
    """The networks to be in: the first as NetworkMode has it, the others' names."""
    mode = as_text(as_table(facts.get("HostConfig")).get("NetworkMode")) or "default"
    joined = list(as_table(as_table(facts.get("NetworkSettings")).get("Networks")))
    if podman and mode == "bridge" and joined:  # which it says of any network that is one
        return joined
    return [mode, *(each for each in joined if each != mode and named(mode) and named(each))]


def named(network: str) -> bool:
    """Is it one that somebody defined?"""
    return network not in ("", "default", "bridge", "host", "none", "podman") and ":" not in network


def binds(facts: Facts) -> list[tuple[str, str]]:
    """(directory of the host, path in the container) of each bind mount."""
    rows = as_rows(facts.get("Mounts"))
    return [(as_text(e.get("Source")), as_text(e.get("Destination"))) for e in rows if e.get("Type") == "bind"]


def _mounts(facts: Facts) -> Iterable[dict[str, Any]]:
    """What is mounted, as requests have it: an anonymous volume by its name, a bind mount so that its source is not
    made where it is gone, as `Binds` would."""
    asked = {as_text(each.get("Target")): each for each in as_rows(as_table(facts.get("HostConfig")).get("Mounts"))}
    for each in as_rows(facts.get("Mounts")):
        kind, target = as_text(each.get("Type")), as_text(each.get("Destination"))
        mount: dict[str, Any] = {"Type": kind, "Target": target, "ReadOnly": each.get("RW") is False}
        mount.update(asked.pop(target, {}))
        if kind == "volume":
            options = {**as_table(mount.get("VolumeOptions")), "NoCopy": True}
            mount.update(Source=each.get("Name"), VolumeOptions=options)
        elif kind == "bind":
            mount.update(Source=each.get("Source"))
            if each.get("Propagation"):
                mount["BindOptions"] = {**as_table(mount.get("BindOptions")), "Propagation": each["Propagation"]}
        yield mount
    yield from map(dict, asked.values())


def blanked(config: Facts) -> dict[str, str]:
    """All its labels, empty: a committed image has them, and what goes by them (Compose, a proxy) is to find
    nothing."""
    return dict.fromkeys(as_table(config.get("Labels")), "")


def kept_config(facts: Facts, labels: Mapping[str, str]) -> dict[str, Any]:
    """The configuration of an image that is kept: the container's own. labels: the image's."""
    config = dict(as_table(facts.get("Config")))
    for name in ("Hostname", "Domainname", "Image", "AttachStdin", "AttachStdout", "AttachStderr", "MacAddress"):
        config.pop(name, None)
    # Where there is none, an engine takes what it commits for it: moby's daemon/commit.go, merge().
    empty = {"Entrypoint": [], "Cmd": [], "Healthcheck": {}, "StopSignal": "SIGTERM"}
    return {**config, **{name: config.get(name) or value for name, value in empty.items()}, "Labels": dict(labels)}


def kept_changes(facts: Facts, labels: Mapping[str, str]) -> list[str]:
    """The same as lines of a Dockerfile, which is how Podman takes it."""
    config = as_table(facts.get("Config"))
    from dockshell.engines.json import encode

    def written(value: Any) -> str:
        return encode(value).decode()

    lines = [f"ENTRYPOINT {written(config.get('Entrypoint') or [])}", f"CMD {written(config.get('Cmd') or [])}"]
    lines.append(f"STOPSIGNAL {config.get('StopSignal') or 'SIGTERM'}")
    return [*lines, *(f"LABEL {name}={written(value)}" for name, value in labels.items())]
