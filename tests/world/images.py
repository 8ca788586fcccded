"""The images of the tests' world. IMAGES names them; each is made on an engine at its first use, as
`dockshell-test/NAME`.

- `busybox`    static busybox with all its applets in /bin; users root (shell /bin/sh) and app (1000); a first process
               that sleeps and leaves at once on TERM.
- `app`        busybox whose configuration says everything: USER app (1000:1000, supplementary groups staff2 2001 and
               video2 2002), HOME /home/app, WORKDIR /srv/app, and an environment with blanks, quotes, an empty value
               and letters beyond ASCII; run with a host name of its own.
- `locked`     busybox with USER 65532, which has no entry; run with LOCKED: no capabilities, read-only, no new
               privileges, no network.
- `static`     one static program, /busybox, and nothing else: no /etc, no shell at any usual path.
- `bare`       one static program that does nothing but sleep, and nothing else.
- `baseimage`  what `dockshell image build --ssh` makes of a real Debian, with zsh, tmux and app (baseimage.py).
- `slim`       a real Debian with nothing added, as debian:bookworm-slim has it; its apt installs from a directory.
- `trixie`     the same of the next release.
- `alpine`     an Alpine with nothing added, as far as it can be had (alpine.py); its apk installs from a directory.
- `workshop`   a real Debian with what remote tools want to find: rsync, git, Python, strace. No sshd."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.world.alpine import alpine_tarball
from tests.world.archive import Layer
from tests.world.baseimage import CONFIG, baseimage_tarball
from tests.world.debian import slim_tarball, workshop_tarball
from tests.world.unavailable import Unavailable

if TYPE_CHECKING:
    from tests.world.peer import Peer

LOCKED = ("--cap-drop", "ALL", "--read-only", "--security-opt", "no-new-privileges", "--network", "none")

APP_ENV = (
    "PATH=/bin:/sbin:/usr/bin",
    "PLAIN=1",
    "SPACES=two  blanks ",
    'QUOTES=it\'s "quoted" `here` $HOME \\n',
    "EMPTY=",
    "UNICODE=żółw 亀 🐢",
    "LINES=one\ntwo",
    "EQUALS=a=b=c",
)

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SLEEP = ["/bin/sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 100000 & wait $!; done"]
_PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:the app:/home/app:/bin/sh\n"
_GROUP = "root:x:0:\napp:x:1000:\nstaff2:x:2001:app\nvideo2:x:2002:root,app\n"


@dataclass(frozen=True)
class Image:
    """How to make an image: layers(directory for them) → paths of tars; config: its configuration; options: what it
    is run with. built: where an engine has to make it, the path of its one layer."""

    layers: Callable[[str, Callable[[str], None]], list[str]] = lambda directory, say: []
    config: Mapping[str, Any] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    built: Callable[[Peer, str, Callable[[str], None]], str] | None = None


def _busybox() -> str:
    for path in ("/bin/busybox", shutil.which("busybox") or ""):
        if path and os.path.exists(path):
            with open(path, "rb") as file:
                if b"/ld-linux" not in file.read(4096):
                    return path
    raise Unavailable("no static busybox here: install busybox-static")


def _applets(busybox: str) -> list[str]:
    listing = os.popen(f"{busybox} --list").read().split()
    return [applet for applet in listing if applet != "busybox"]


def _busybox_layer(directory: str, say: Callable[[str], None]) -> list[str]:
    layer = Layer()
    for path in ("bin", "dev", "etc", "home", "proc", "srv", "sys", "usr", "usr/bin", "var"):
        layer.directory(path)
    layer.directory("root", 0o700)
    layer.directory("tmp", 0o1777)
    layer.directory("home/app", 0o755, (1000, 1000))
    layer.directory("srv/app", 0o755, (1000, 1000))
    layer.file("etc/passwd", _PASSWD.encode())
    layer.file("etc/group", _GROUP.encode())
    busybox = _busybox()
    with open(busybox, "rb") as file:
        layer.file("bin/busybox", file.read(), 0o755)
    for applet in _applets(busybox):
        layer.link(f"bin/{applet}", "busybox")
    return [layer.write(directory)]


def _static_layer(directory: str, say: Callable[[str], None]) -> list[str]:
    layer = Layer()
    with open(_busybox(), "rb") as file:
        layer.file("busybox", file.read(), 0o755)
    return [layer.write(directory)]


def _bare_layer(directory: str, say: Callable[[str], None]) -> list[str]:
    layer = Layer()
    with open(_busybox(), "rb") as file:
        layer.file("sleep", file.read(), 0o755)  # what a busybox is, its name says
    return [layer.write(directory)]


def _slim_layers(directory: str, say: Callable[[str], None]) -> list[str]:
    return [slim_tarball("", directory, say)]


def _trixie_layers(directory: str, say: Callable[[str], None]) -> list[str]:
    return [slim_tarball("trixie", directory, say)]


def _alpine_layers(directory: str, say: Callable[[str], None]) -> list[str]:
    return [alpine_tarball(directory, say)]


def _workshop_layers(directory: str, say: Callable[[str], None]) -> list[str]:
    return [workshop_tarball(directory, say)]


IMAGES: Mapping[str, Image] = {
    "busybox": Image(_busybox_layer, {"Env": ["PATH=/bin:/sbin:/usr/bin"], "Cmd": _SLEEP}),
    "app": Image(
        _busybox_layer,
        {
            "Env": list(APP_ENV),
            "Cmd": _SLEEP,
            "User": "app",
            "WorkingDir": "/srv/app",
            "Labels": {"dockshell.test": "app"},
        },
        ("--hostname", "apphost"),
    ),
    "locked": Image(_busybox_layer, {"Env": ["PATH=/bin:/sbin:/usr/bin"], "Cmd": _SLEEP, "User": "65532"}, LOCKED),
    "static": Image(_static_layer, {"Env": ["PATH=/"], "Cmd": ["/busybox", "sleep", "100000"]}),
    "bare": Image(_bare_layer, {"Env": ["PATH=/"], "Cmd": ["/sleep", "100000"]}),
    "baseimage": Image(config=CONFIG, built=baseimage_tarball),
    "slim": Image(_slim_layers, {"Env": [_PATH], "Cmd": ["bash"]}),
    "trixie": Image(_trixie_layers, {"Env": [_PATH], "Cmd": ["bash"]}),
    "alpine": Image(_alpine_layers, {"Env": [_PATH], "Cmd": ["/bin/sh"]}),
    "workshop": Image(
        _workshop_layers,
        {
            "Env": [_PATH, "LANG=C.UTF-8"],
            "Cmd": ["sleep", "infinity"],
        },
    ),
}
