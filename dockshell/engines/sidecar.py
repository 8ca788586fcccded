"""A sidecar: a container of ours for as long as we live, whose files a target's own processes can reach.

It shares the target's pid namespace, so the target sees its one process N, and with it /proc/N/root: the sidecar's
files. Whoever the kernel lets look at N may execute what lies there (proc(5), ptrace(2): PTRACE_MODE_READ_FSCREDS), and
that is a process of the same user and group with no fewer capabilities. So N has the user and group of the command that
is to come, and no capability at all. The command itself is then an ordinary exec in the target, confined as such, of a
program at /proc/N/root/…; nothing is written into the target.

Whoever is in the target may get at N, and at its files: so what it runs under are the target's limits, and where the
target's root can't be written, neither can the sidecar's.

N reads its input, which is a connection of ours, and ends with it, whatever ended us; the engine then removes the
sidecar by itself."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from select import POLLIN, poll
from time import monotonic

from dockshell.engines import containers
from dockshell.engines.docker import SIDECAR
from dockshell.engines.frames import Frames
from dockshell.engines.host_config import confinement
from dockshell.errors import EngineError, printable
from dockshell.linux.guardian import Guardian

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import IO, Any

    from dockshell.engines import Api
    from dockshell.model import Container

__all__ = ["OWN", "PLACE", "Load", "Sidecar"]

PLACE = "/.dockshell"  # where they have what we bring
OWN = f"{PLACE}/own"  # the same, with what is written there once it runs
_PATIENCE = 30.0  # seconds for an engine to start a container
_CHUNK = 1 << 20
_PODMANS = ("/run", "/tmp", "/var/tmp")  # podman-run(1), --read-only-tmpfs
_ROOM = "exec,size=1m,mode=1777"
_ARRANGED = f"""
cd {PLACE}
for each in *; do
    case $each in own) ;; bin) cp -RP bin own/bin ;; *) ln -s "../$each" "own/$each" ;; esac
done
cd {OWN}
"""
_LIGHT = 16 << 20  # bytes; a heavier load is kept in a file, which has no name
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}  # the kernel's names and the engines'


class Load:
    """What a sidecar carries, as a tar on its way: the busybox at that path on this machine, as PLACE/busybox. image:
    whose files it has besides; empty for any image that is there, the target's as a rule. prelude: what its shell is
    to do, as the commands' user, before it is ready. writes: it does so in OWN, where all in PLACE is too, but for
    what is in directories other than bin."""

    def __init__(self, busybox: str, image: str = "", prelude: str = "", *, writes: bool = False) -> None:
        self.image = image
        self.prelude = _ARRANGED + prelude if writes else prelude
        self.place = OWN if writes else PLACE
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_LIGHT)  # noqa: SIM115 # goes with us
        self._tar = tarfile.TarFile(fileobj=self._file, mode="w")
        self._add(PLACE, tarfile.DIRTYPE)
        self.add("busybox", busybox)

    def add(self, name: str, path: str) -> None:
        """The file, or the directory with all that is in it, at that path on this machine, under PLACE. Raises
        EngineError where it can't be read."""
        try:
            self._tar.add(path, f"{PLACE}/{name}", filter=_ours)
        except OSError as error:
            raise EngineError(
                f"{printable(error.filename or path)} can't be read ({error.strerror}), and so not be brought along: "
                "take other --tools"
            ) from None

    def write(self, name: str, content: bytes) -> None:
        """A program with that content, under PLACE."""
        member = _ours(tarfile.TarInfo(f"{PLACE}/{name}"))
        member.size, member.mode = len(content), 0o755
        self._tar.addfile(member, io.BytesIO(content))

    def link(self, name: str, target: str) -> None:
        """A symbolic link, under PLACE."""
        self._add(f"{PLACE}/{name}", tarfile.SYMTYPE, target)

    def directory(self, name: str) -> None:
        """An empty directory, under PLACE."""
        self._add(f"{PLACE}/{name}", tarfile.DIRTYPE)

    def _add(self, name: str, kind: bytes, target: str = "") -> None:
        member = _ours(tarfile.TarInfo(name))
        member.type, member.mode, member.linkname = kind, 0o755, target
        self._tar.addfile(member)

    def pieces(self) -> tuple[Iterator[bytes], int]:
        """The whole tar, and its size in bytes."""
        self._tar.close()
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(0)
        return iter(lambda: self._file.read(_CHUNK), b""), size


def _ours(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Root's, readable and executable for whoever the command will be."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


class Sidecar:
    """One that runs. id: the container's; place: where the target's processes of that user find what it carries;
    busybox: the program there. link: the connection that it lives by; who holds that too keeps it when we die."""

    def __init__(self, api: Api, container: Container, user: tuple[int, int], load: Load) -> None:
        """Starts one beside the container, which must run. user: the uid and gid of the commands to come. Raises
        EngineError."""
        self._api = api
        self.link = None
        self.id = f"dockshell-{os.urandom(6).hex()}"
        self._name = self.id
        # Until it runs, and so can see for itself that we are gone.
        guardian = Guardian(containers.Removal(api, self._name, self._filler, image=self._filled))
        try:
            self._create(container, user, load)
            self.link = api.attach(self.id)
            containers.start(api, self.id)
            number = self._number()
        except BaseException:
            self.close()
            raise
        finally:
            guardian.dismiss()
            guardian.close()
        self.place = f"/proc/{number}/root{load.place}"
        self.busybox = f"{self.place}/busybox"

    @property
    def _filler(self) -> str:
        return f"{self._name}-files"

    @property
    def _filled(self) -> str:
        return f"{self._name}:files"

    def __enter__(self) -> Sidecar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """It goes. Raises nothing: should the engine not answer, it goes with the link."""
        try:
            containers.remove(self._api, self.id)
        except EngineError:
            pass
        if self.link is not None:
            self.link.close()

    def _create(self, container: Container, user: tuple[int, int], load: Load) -> None:
        facts = self._image(container, load.image)
        host = self._host(container)
        podman = self._api.server() == "podman"
        read_only = bool(host.get("ReadonlyRootfs"))
        # In the place of anonymous volumes, into which the engine would copy what the image has there, and of what
        # Podman mounts for who can't write elsewhere.
        covered = [*((facts.get("Config") or {}).get("Volumes") or ()), *(_PODMANS if podman and read_only else ())]
        volumes = dict.fromkeys(covered, "ro,size=4k")
        # Docker takes no files for a root that can't be written; so they are the image's.
        filled = read_only and not podman
        beside = f"container:{container.id}"
        body = {
            "Image": self._image_with(load, facts["Id"], container, volumes) if filled else facts["Id"],
            "Entrypoint": [f"{PLACE}/busybox", "sh", "-c"],
            "Cmd": [f"{load.prelude}\necho $$; exec {PLACE}/busybox cat >/dev/null"],
            "User": "{}:{}".format(*user),
            "WorkingDir": "/",
            "OpenStdin": True,
            "StdinOnce": True,
            "AttachStdin": True,
            "AttachStdout": True,
            "Labels": {SIDECAR: container.id},  # no listing of ours shows it
            "Healthcheck": {"Test": ["NONE"]},
            "HostConfig": {
                **confinement(host, container.id, podman),
                "ReadonlyRootfs": read_only,
                "AutoRemove": True,
                "PidMode": beside,
                "NetworkMode": beside,
                "LogConfig": {"Type": "none"},
                "Tmpfs": {**volumes, **({OWN: _ROOM} if load.place == OWN else {})},
            },
        }
        self.id = containers.create(self._api, body, self._name)
        if filled:
            containers.remove_image(self._api, self._filled)  # its files stay for as long as the container does
        else:
            self._upload(load, self.id)

    def _upload(self, load: Load, container: str) -> None:
        tar, size = load.pieces()
        self._api.upload(container, "/", tar, size)

    def _image_with(self, load: Load, image: str, container: Container, volumes: dict[str, str]) -> str:
        """The id of an image of that one's files and the load, made by a container that never runs."""
        body = {
            "Image": image,
            "Entrypoint": ["-"],
            "Cmd": ["-"],
            "NetworkDisabled": True,
            "Labels": {SIDECAR: container.id},
            "HostConfig": {"NetworkMode": "none", "Tmpfs": volumes},
        }
        filler = containers.create(self._api, body, self._filler)
        try:
            self._upload(load, filler)
            return containers.commit(self._api, filler, self._filled)
        finally:
            containers.remove(self._api, filler)

    def _host(self, container: Container) -> dict[str, Any]:
        """The target's own HostConfig: what runs here is under the same limits, for who is in the target could get at
        it (ptrace(2))."""
        host = self._api.inspect(container.id).get("HostConfig")
        return host if isinstance(host, dict) else {}

    def _image(self, container: Container, image: str) -> dict[str, Any]:
        """Facts about the image to take. None of its programs are needed, so any will do where none is named."""
        if image:
            if (facts := containers.image(self._api, image)) is None:
                raise EngineError(f"the engine has no image {printable(image)}: pull it first, or take other --tools")
            return facts
        for each in self._candidates(container):
            if (facts := containers.image(self._api, each)) is not None:
                return facts
        raise EngineError(f"the engine at {self._api.address} has no image to make a sidecar of: pull a small one")

    def _candidates(self, container: Container) -> Iterable[str]:
        yield str(self._api.inspect(container.id).get("Image") or "") or container.image
        yield from (str(each.get("Id")) for each in containers.images(self._api))

    def _number(self) -> int:
        """N, which it tells as soon as it runs."""
        frames, told = Frames(), b""
        waiter = poll()
        assert self.link is not None
        waiter.register(self.link.fileno(), POLLIN)
        give_up = monotonic() + _PATIENCE
        while not told.endswith(b"\n") and len(told) < 32 and waiter.poll(max(0, int((give_up - monotonic()) * 1000))):
            piece = self._received()
            if piece == b"":
                break
            told += b"".join(data for _, data in frames.feed(piece or b""))
        if not told.strip().isdigit():
            raise EngineError(self._silence())
        return int(told)

    def _received(self) -> bytes | None:
        assert self.link is not None
        try:
            return self.link.recv(_CHUNK)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _silence(self) -> str:
        """Why it said nothing."""
        theirs = (self._api.ask("GET", "/version") or {}).get("Arch", "")
        ours = _MACHINES.get(os.uname().machine, os.uname().machine)
        if theirs and theirs != ours:
            return (
                f"the engine's machine is of another kind ({printable(str(theirs))}) than this one's busybox ({ours}): "
                "name one for it with DOCKSHELL_BUSYBOX"
            )
        return "the sidecar did not start: `--debug` and the engine's own log may tell why"
