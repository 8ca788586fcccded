"""The distributions that an image may be built on, and what their packages are called. Pure."""

from __future__ import annotations

from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ALPINE", "DEBIAN", "Base", "Family", "named", "of"]


@noun(frozen=True)
class Family:
    """install: Dockerfile lines, `{}` for the packages; packages: by part, with blanks between; group: the command that
    makes docker_env."""

    name: str
    install: str
    packages: Mapping[str, str]
    group: str


# Debian and what descends from it, Ubuntu above all. Host keys that a package made would be everybody's. Inside, no
# login uid can be set where the engine has one already, pam_loginuid(8); neither logins nor jobs are to fail by that.
DEBIAN = Family(
    "debian",
    "apt-get update \\\n"
    "    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {} \\\n"
    "    && sed -i '/pam_loginuid/s/required/optional/' /etc/pam.d/* \\\n"
    "    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /etc/ssh/ssh_host_*",
    {
        "init": "runit python3-minimal",
        "bare": "runit tini",
        "ssh": "openssh-server",
        "cron": "cron",
        "syslog": "busybox-syslogd",
    },
    "groupadd --gid 8377 docker_env",
)
# Its busybox has a crond and a syslogd.
ALPINE = Family(
    "alpine",
    "apk add --no-cache {} \\\n    && rm -f /etc/ssh/ssh_host_*",
    {"init": "runit python3", "bare": "runit tini", "ssh": "openssh-server openssh-keygen", "cron": "", "syslog": ""},
    "addgroup -g 8377 docker_env",
)


@noun(frozen=True)
class Base:
    """What counts of an image that is built on. user: who it runs commands as, empty for root; entrypoint: has it
    one?"""

    family: Family
    user: str = ""
    entrypoint: bool = False


def named(image: str) -> Base:
    """What an image's name lets expect, where there is no engine to ask."""
    return Base(ALPINE if "alpine" in image.rpartition("/")[2] else DEBIAN)


def of(release: str) -> Family | None:
    """The family by the text of /etc/os-release, os-release(5); None for any other."""
    fields = dict(line.partition("=")[::2] for line in release.splitlines())
    ids = {word.strip("\"'") for key in ("ID", "ID_LIKE") for word in fields.get(key, "").split()}
    if "alpine" in ids:
        return ALPINE
    return DEBIAN if ids & {"debian", "ubuntu"} else None
