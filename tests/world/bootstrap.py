"""Whole Debian systems as tars: one of each suite is debootstrap's work, on which apt installs the others.

The cache is ${XDG_CACHE_HOME:-~/.cache}/dockshell-tests; a tar there is named after a hash of its recipe."""

from __future__ import annotations

import fcntl
import glob
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Callable

from tests.world.unavailable import Unavailable


def debian_tar(
    suite: str, include: str, finish: str, scratch: str, say: Callable[[str], None], mirrored: str = ""
) -> str:
    """The path of a tar of a Debian, made first where the cache lacks it. Raises Unavailable where it can't be made
    here.

    suite: `trixie`, or empty for this machine's own release; include: packages, with commas between; finish: a script
    that is run in it at last; mirrored: packages that its apt can install without a network, from /srv/mirror."""
    suite = suite or _own_suite()
    recipe = [suite, os.uname().machine, _QUICK, include, finish, *filter(None, [mirrored and mirrored + _MIRRORED])]

    def make(root: str) -> None:
        unpack(_base_tar(suite, scratch, say), root)
        _apt(root, "install", *include.split(","))
        if mirrored:
            _carry(mirrored, root)
        _with(root, ["chroot", root, "/bin/sh", "-e"], finish.encode())

    return cached("debian", "\n".join(recipe), scratch, make)


def cached(kind: str, recipe: str, scratch: str, make: Callable[[str], None]) -> str:
    """The path of a tar of what make(directory) puts into a directory that isn't there yet; where the cache has one of
    that recipe, that. Raises Unavailable, and what make does."""
    key = hashlib.sha256(recipe.encode()).hexdigest()[:16]
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "dockshell-tests")
    path = os.path.join(cache, f"{kind}-{key}.tar")
    if os.path.exists(path):
        return path
    if os.geteuid() != 0:
        raise Unavailable(f"making a root directory ({kind}) needs root")
    os.makedirs(cache, exist_ok=True)
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be making the same one
        if not os.path.exists(path):
            root = os.path.join(scratch, f"{kind}-{key}")
            try:
                make(root)
                leave = ["--exclude=./dev/*", "--exclude=./proc/*"]
                run(["tar", "--numeric-owner", "--sort=name", *leave, "-C", root, "-cf", f"{path}.partial", "."])
                os.replace(f"{path}.partial", path)
            finally:
                shutil.rmtree(root, ignore_errors=True)
    return path


def unpack(tar: str, directory: str) -> None:
    """Makes the directory, with the tar's files in it."""
    os.makedirs(directory)
    run(["tar", "--numeric-owner", "-C", directory, "-xpf", tar])


def _release(key: str) -> str:
    """What os-release(5) says of this machine; empty where it says nothing."""
    try:
        return platform.freedesktop_os_release().get(key, "")
    except OSError:
        return ""


def _own_suite() -> str:
    return _release("VERSION_CODENAME")


# A file system that outlives a power cut is not wanted: dpkg(1), --force-unsafe-io. Docker's own Debian images have it.
_QUICK = "force-unsafe-io\n"


def _base_tar(suite: str, scratch: str, say: Callable[[str], None]) -> str:
    """The path of a tar of the least of that Debian, on which apt installs the rest."""

    def make(root: str) -> None:
        if not shutil.which("debootstrap") or not shutil.which("apt-get"):
            raise Unavailable("making a Debian needs debootstrap on Debian or Ubuntu")
        say(f"debootstrap makes a Debian {suite} (half a minute, once: it is cached)")
        mirror, components = _mirror(suite)
        # In a mount namespace of its own: what it mounts goes with it, even when it is killed.
        alone = ["unshare", "--mount", "--propagation", "private", "env", "DPKG_FORCE=unsafe-io"]
        options = ["--variant=minbase", "--include=ca-certificates", f"--components={','.join(components)}"]
        run([*alone, "debootstrap", *options, suite, root, mirror])
        os.makedirs(f"{root}/etc/dpkg/dpkg.cfg.d", exist_ok=True)
        with open(f"{root}/etc/dpkg/dpkg.cfg.d/unsafe-io", "w", encoding="ascii") as file:
            file.write(_QUICK)
        _apt(root, "clean")
        _apt(root, "update")

    return cached("debian-base", "\n".join((suite, os.uname().machine, _QUICK)), scratch, make)


def _apt(root: str, *words: str) -> None:
    """apt-get of the Debian in that directory, by this machine's own apt, whose network and settings are known to work:
    apt.conf(5), Dir and DPkg::Chroot-Directory."""
    options = {
        "Dir": root,
        "Dir::State::status": f"{root}/var/lib/dpkg/status",
        "DPkg::Chroot-Directory": root,
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
    }
    given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    _with(
        root,
        ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-y", "--no-install-recommends", *given, *words],
    )


# What a package's scripts count on, in a mount namespace of its own; and no service is started: policy-rc.d is asked by
# invoke-rc.d(8).
_SURROUNDED = """
root=$1
shift
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
printf '#!/bin/sh\\nexit 101\\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
"$@"
rm "$root/usr/sbin/policy-rc.d"
"""


def _with(root: str, argv: list[str], stdin: bytes = b"") -> None:
    """Runs a program that changes the Debian in that directory."""
    run(["unshare", "--mount", "--propagation", "private", "sh", "-ec", _SURROUNDED, "sh", root, *argv], stdin)


# Makes an index of the packages in /srv/mirror, apt's only source (sources.list(5), a flat repository).
_MIRRORED = """
cd /srv/mirror
for package in *.deb; do
    dpkg-deb --field "$package"
    echo "Filename: ./$package"
    echo "Size: $(stat -c %s "$package")"
    echo "SHA256: $(sha256sum "$package" | cut -d ' ' -f 1)"
    echo
done > Packages
echo 'deb [trusted=yes] file:/srv/mirror ./' > /etc/apt/sources.list
rm -rf /etc/apt/sources.list.d /var/lib/apt/lists/* /var/cache/apt/*
"""


def _carry(packages: str, root: str) -> None:
    """Puts the packages, and all that they need beside what is there, into the Debian's /srv/mirror."""
    mirror = f"{root}/srv/mirror"
    os.makedirs(mirror)
    _apt(root, "install", "--download-only", *packages.split(","))
    for package in glob.glob(f"{root}/var/cache/apt/archives/*.deb"):
        shutil.move(package, f"{mirror}/{os.path.basename(package).replace('%3a', '.')}")
    _with(root, ["chroot", root, "/bin/sh", "-e"], _MIRRORED.encode())


def _mirror(suite: str) -> tuple[str, list[str]]:
    """The mirror and the components of the suite as this machine's apt has them configured (apt-get(8), indextargets).
    A Debian's mirror has the other suites of Debian too."""
    listing = ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    lines = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.splitlines()
    known = suite if suite == _own_suite() or _release("ID") != "debian" else _own_suite()
    targets = [line.split() for line in lines]
    sites = [
        (site, component)
        for site, release, component in targets
        if release == known and component in ("main", "universe")
    ]
    if not sites:
        raise Unavailable(f"apt is configured with no mirror of {suite}, which debootstrap needs")
    mirror = sites[0][0]
    return mirror, sorted({component for site, component in sites if site == mirror})


def run(argv: list[str], stdin: bytes = b"") -> None:
    """Runs a program to its end. Raises RuntimeError, with what it said, where it fails."""
    done = subprocess.run(argv, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise RuntimeError(f"{argv[0]} failed with {done.returncode}:\n" + done.stdout.decode(errors="replace")[-2000:])
