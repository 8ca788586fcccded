"""A virtual machine for kernels that this machine hasn't: with AppArmor or SELinux, control groups of version 2 alone,
and settings that nobody wants on their own machine. A Debian trixie with its cloud kernel, under QEMU's own emulation
(TCG), which needs no /dev/kvm. QEMU comes from another Debian's root directory, so that nothing is installed here.

The disk has that Debian, this checkout in /srv/dockshell, its dependencies in /srv/python, and an image's tar,
/srv/busybox.tar. Its first process is tests/vm/init. What that and the kernel write goes to the first serial port, and
what the tests inside report to the second."""

from __future__ import annotations

import contextlib
import glob
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

from tests.world.bootstrap import debian_tar, run, unpack
from tests.world.images import IMAGES
from tests.world.stranger import SUITES, wheels
from tests.world.unavailable import Unavailable

_SUITE = "trixie"
_INCLUDE = (
    "linux-image-cloud-amd64,initramfs-tools,busybox-static,xz-utils,iproute2,python3,docker.io,docker-cli,podman,crun,"
    "apparmor,selinux-policy-default,openssh-client"
)
# The modules that the disk takes, in order, and a script that mounts it: the kernel's initramfs. initramfs-tools would
# make one that is ten times as large, which takes as much longer to unpack here.
_FINISH = """
cd /boot
mv vmlinuz-* vmlinuz
rm -f initrd* config-* System.map-*
version=$(ls /lib/modules)
mkdir -p /tmp/first/bin /tmp/first/root
cd /tmp/first
mkdir dev proc
cp /usr/bin/busybox bin/busybox
for module in virtio_pci virtio_blk ext4; do modprobe -S "$version" --show-depends $module; done |
    sed -n 's/^insmod \\([^ ]*\\).*/\\1/p' >order
number=100
while read -r path; do
    number=$((number + 1))
    xz -dc "$path" >"$number.ko"
done <order
cat >init <<'END'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs devtmpfs /dev
for module in /*.ko; do $b insmod $module; done
until [ -b /dev/vda ]; do $b usleep 50000; done
$b mount -t ext4 /dev/vda /root
$b mount --move /dev /root/dev
exec $b switch_root /root /srv/dockshell/tests/vm/init
END
chmod 755 init
find . | cpio --quiet -o -H newc >/boot/initramfs
rm -rf /tmp/first /var/cache/apt/* /var/lib/apt/lists/* /usr/share/doc /usr/share/man /usr/share/locale
"""
_QEMU_FINISH = "rm -rf /var/cache/apt/* /var/lib/apt/lists/* /usr/share/doc /usr/share/man /usr/share/locale"
_CHECKOUT = ("dockshell", "scripts", "tests", "pyproject.toml")
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_SPARE = 1024  # MiB that are free on the disk
_SILENT = 600  # seconds without a report after which the machine is ended
_START = """
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
root=$1
shift
exec nice -n 5 chroot "$root" qemu-system-x86_64 "$@"
"""


class VirtualMachine:
    """The disk, from which it boots as often as wanted; what is written to it then is lost."""

    def __init__(self, scratch: str, say: Callable[[str], None]) -> None:
        """Makes it; scratch: a directory. Raises Unavailable where it can't be made here."""
        if os.uname().machine != "x86_64":
            raise Unavailable("the virtual machine is one of x86_64")
        if os.geteuid():
            raise Unavailable("the disk of the virtual machine takes root to make")
        if not shutil.which("mkfs.ext4"):
            raise Unavailable("mkfs.ext4 is not installed")
        debian = debian_tar(_SUITE, _INCLUDE, _FINISH, scratch, say)
        qemu = debian_tar(_SUITE, "qemu-system-x86,seabios", _QEMU_FINISH, scratch, say)
        self._root = os.path.join(scratch, "qemu")
        unpack(qemu, self._root)
        say("the disk of the virtual machine is made")
        inside = os.path.join(scratch, "disk")
        unpack(debian, inside)
        for name in "vmlinuz", "initramfs":
            shutil.copy(f"{inside}/boot/{name}", f"{self._root}/{name}")
        _add_checkout(inside, scratch, say)
        size = int(subprocess.run(["du", "-sm", inside], capture_output=True, check=True).stdout.split()[0])
        disk = f"{self._root}/disk"
        run(["mkfs.ext4", "-q", "-O", "^has_journal", "-d", inside, disk, f"{size * 5 // 4 + _SPARE}M"])
        shutil.rmtree(inside)

    def boot(self, *words: str) -> Iterator[str]:
        """Boots with these words for the kernel, and yields what the machine reports, line by line, until it switches
        itself off. Raises RuntimeError, with the end of what its console says, where nothing comes for ten minutes."""
        kernel = ["console=ttyS0", "panic=-1", "quiet", "systemd.unified_cgroup_hierarchy=1", *words]
        options = [
            *("-accel", "tcg,thread=multi", "-smp", "2", "-cpu", "max", "-m", "2048", "-net", "none"),
            *("-kernel", "/vmlinuz", "-initrd", "/initramfs", "-append", " ".join(kernel)),
            *("-drive", "file=/disk,if=virtio,format=raw,cache=unsafe", "-snapshot", "-device", "virtio-rng-pci"),
            *("-display", "none", "-no-reboot", "-serial", "file:/console", "-serial", "stdio"),
        ]
        start = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", _START, "sh", self._root, *options]
        process = subprocess.Popen(start, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            assert process.stdout
            yield from _lines(process.stdout.fileno(), self._console)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()
            assert process.stdout
            process.stdout.close()

    def _console(self) -> str:
        with contextlib.suppress(OSError), open(f"{self._root}/console", encoding="utf-8", errors="replace") as file:
            return file.read()[-4000:]
        return ""


def _lines(descriptor: int, console: Callable[[], str]) -> Iterator[str]:
    rest = b""
    while True:
        if not select.select([descriptor], [], [], _SILENT)[0]:
            raise RuntimeError(f"the virtual machine said nothing for {_SILENT} s; its console:\n{console()}")
        piece = os.read(descriptor, 65536)
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace").rstrip("\r")
        if not piece:
            return


def _add_checkout(root: str, scratch: str, say: Callable[[str], None]) -> None:
    checkout = f"{root}/srv/dockshell"
    os.makedirs(checkout)
    for name in _CHECKOUT:
        source = os.path.join(_ROOT, name)
        if os.path.isdir(source):
            shutil.copytree(source, f"{checkout}/{name}", symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, checkout)
    packages = os.path.join(scratch, "wheels")
    unpack(wheels(SUITES[_SUITE], scratch, say), packages)
    install = ["-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-deps", "--no-compile", "--no-index"]
    options = [f"--python-version={SUITES[_SUITE]}", "--only-binary=:all:", "--target", f"{root}/srv/python"]
    run([sys.executable, *install, *options, *sorted(glob.glob(f"{packages}/*.whl"))])
    shutil.rmtree(packages)
    (layer,) = IMAGES["busybox"].layers(scratch, say)
    shutil.copy(layer, f"{root}/srv/busybox.tar")
    run(["chroot", root, "python3", "-m", "compileall", "-q", "/srv"])
