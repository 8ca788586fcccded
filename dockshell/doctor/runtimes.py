"""Runtimes with a known way out of their containers.

What a distribution calls 1.1.5 may have a later release's repairs: so a version alone is no proof where it isn't
upstream's own, and Debian's changelog, which names what was repaired, has the last word. crun had none of these
(containers/crun#615, #1412, #1906)."""

from __future__ import annotations

import gzip
import os
import re
import shutil

from dockshell.doctor.finding import Finding, as_root
from dockshell.errors import printable
from dockshell.model import noun, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

__all__ = ["Runc", "escapes", "findings", "parse", "runc_of"]

_SUBJECT = "danger"
_CHANGELOG = "/usr/share/doc/runc/changelog.Debian.gz"
_LARGEST = 4 << 20
# Escapes, and the releases that ended them, one for each branch; a branch without one stays open.
_ESCAPES = (
    ("CVE-2019-5736", ("1.0.0-rc.7",)),  # opencontainers/runc#1985: a container overwrites runc itself
    ("CVE-2021-30465", ("1.0.0-rc.95",)),  # GHSA-c3xm-pvg7-gh7r: a mount led astray by a link
    ("CVE-2024-21626", ("1.1.12",)),  # GHSA-xr7r-f8xq-vfvv: a descriptor of the host's left open
    # GHSA-9493-h29p-rfm2, GHSA-qw9x-cqr3-wc7r, GHSA-cgrx-mc8f-2prm: writes to /proc led astray
    ("CVE-2025-31133", ("1.2.8", "1.3.3", "1.4.0-rc.3")),
    ("CVE-2025-52565", ("1.2.8", "1.3.3", "1.4.0-rc.3")),
    ("CVE-2025-52881", ("1.2.8", "1.3.3", "1.4.0-rc.3")),
)
_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?:[-~]?rc\.?(\d{1,4}))?(\S*)")
_NO_CANDIDATE = 1 << 20  # a release comes after all of its candidates


@noun(frozen=True)
class Runc:
    """release: its numbers, the last the candidate's; packaged: a distribution's own build, which may have more
    repairs than its number tells; text: as it calls itself."""

    release: tuple[int, int, int, int]
    packaged: bool
    text: str


def runc_of(version: Mapping[str, Any]) -> Runc | None:
    """The runc in an engine's answer to GET /version, which may be anything; None where it tells of none."""
    components = version.get("Components")
    for each in components if isinstance(components, list) else ():
        if isinstance(each, dict) and "runc" in str(each.get("Name")):
            details = each.get("Details")
            package = details.get("Package") if isinstance(details, dict) else ""  # Podman's word for it
            found = parse(str(each.get("Version")).removeprefix("runc version ").partition("\n")[0])
            return replace(found, packaged=True) if found and package else found
    return None


def parse(text: str) -> Runc | None:
    """`1.1.5+ds1`, `1.0.0-rc93` → Runc; None for what is no version."""
    match = _VERSION.match(text.removeprefix("v"))
    if not match:
        return None
    major, minor, patch, candidate, rest = match.groups()
    release = (int(major), int(minor), int(patch or 0), int(candidate or _NO_CANDIDATE))
    return Runc(release, bool(rest) and not rest.startswith("+dev"), text)


def escapes(runc: Runc, repaired: str = "") -> list[str]:
    """The ways out that it is known for. repaired: text that names those which its distribution closed."""
    return [name for name, ends in _ESCAPES if _open(runc.release, ends) and name not in repaired]


def _open(release: tuple[int, int, int, int], ends: Sequence[str]) -> bool:
    fixed = sorted(each.release for each in map(parse, ends) if each)
    same_branch = [each for each in fixed if each[:2] == release[:2]]
    return release < (same_branch[0] if same_branch else fixed[-1])


def findings(version: Mapping[str, Any], where: str, local: bool) -> Iterator[Finding]:
    """What there is to say of the runc that an engine uses. where: the engine, for people; local: it is this
    machine's."""
    runc = runc_of(version)
    if runc is None:
        return
    known = escapes(runc, _changelog(runc) if local and runc.packaged else "")
    name = f"runc {printable(runc.text)} of {where}"
    if not known:
        return
    what = f"{name} has known ways out of a container ({', '.join(known)})"
    if runc.packaged:
        what += ", unless its distribution closed them"
    yield Finding(_SUBJECT, "note" if runc.packaged else "danger", f"{what}: bring it up to date", _update(local))


def _changelog(runc: Runc) -> str:
    """Of the package that it is from; empty where that is not known to be this machine's. It begins with the newest
    version: deb-changelog(5)."""
    try:
        with gzip.open(_CHANGELOG, "rt", encoding="utf-8", errors="replace") as file:
            text = file.read(_LARGEST)
    except (OSError, EOFError):
        return ""
    return text if text.startswith(f"runc ({runc.text}") else ""


def _update(local: bool) -> str:
    """Docker's own packages have it in containerd.io."""
    if not local or not shutil.which("apt"):
        return ""
    package = "containerd.io" if os.path.exists("/var/lib/dpkg/info/containerd.io.list") else "runc"
    return f"{as_root('apt update')} && {as_root(f'apt install --only-upgrade {package}')}"
