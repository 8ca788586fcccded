"""Names of hosts as a container has them: by its own hosts(5), then by the servers in its resolv.conf(5), which are
asked from inside its network namespace.

The C library would do it as the container has it configured only by loading the container's own plugins into a process
of ours (CVE-2019-14271), so it is done here. Both files are whatever somebody inside wrote: all that is taken from them
is bounded, and so is the time for all questions together."""

from __future__ import annotations

import socket
from time import monotonic

from dockshell.errors import DockshellError
from dockshell.model import noun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from dockshell.model import Container

__all__ = ["LOOPBACK", "Names", "ResolvConf", "is_address", "parse"]

LOOPBACK = ("", "localhost")
_LARGEST = 1 << 20  # bytes of either file
_MOST_SERVERS = 3  # MAXNS of glibc's resolv.h
_MOST_DOMAINS, _LONGEST_DOMAINS = 32, 2048  # and characters in all; as Kubernetes bounds them, glibc doesn't since 2.26
_MOST_DOTS = 15
_MOST_SECONDS = 5
_MOST_ATTEMPTS = 5


@noun(frozen=True)
class ResolvConf:
    """servers: their IP addresses. domains: the search list. ndots: names with fewer dots are looked for in these
    domains first. timeout: seconds for one question, asked of one server. attempts: how often each is asked."""

    servers: tuple[str, ...] = ("127.0.0.1",)
    domains: tuple[str, ...] = ()
    ndots: int = 1
    timeout: int = 3
    attempts: int = 2
    rotate: bool = False
    edns: bool = False
    tcp: bool = False

    def candidates(self, host: str) -> list[str]:
        """The names to ask for, in this order, until one has an address."""
        if host.endswith("."):
            return [host]
        searched = [f"{host}.{domain.strip('.')}".strip(".") for domain in self.domains]
        asked = [host, *searched] if host.count(".") >= self.ndots else [*searched, host]
        return list(dict.fromkeys(asked))


def parse(text: str, hostname: str = "") -> ResolvConf:
    """A resolv.conf, as glibc reads it but for the bounds. hostname: the machine's, whose domain is searched where the
    file names none. Raises nothing: what makes no sense is passed over."""
    servers: list[str] = []
    domains = hostname.partition(".")[2].split()[:1]
    options: dict[str, str] = {}
    for line in text.split("\n"):
        # The keyword starts the line: a blank before it makes it none.
        keyword, *words = line.split()[: _MOST_DOMAINS + 1] if line[:1].isalpha() else [""]
        if keyword == "nameserver":
            servers += filter(is_address, words[:1])
        elif keyword in ("search", "domain") and words:
            domains = words[:1] if keyword == "domain" else words  # the last of these lines counts
        elif keyword == "options":
            options.update((name, value) for name, _, value in (word.partition(":") for word in words))
    while len(" ".join(domains)) > _LONGEST_DOMAINS:
        domains.pop()
    usual = ResolvConf()
    return ResolvConf(
        servers=tuple(servers[:_MOST_SERVERS]) or usual.servers,
        domains=tuple(domains),
        ndots=_number(options.get("ndots"), 0, _MOST_DOTS, usual.ndots),
        timeout=_number(options.get("timeout"), 1, _MOST_SECONDS, usual.timeout),
        attempts=_number(options.get("attempts"), 1, _MOST_ATTEMPTS, usual.attempts),
        rotate="rotate" in options,
        edns="edns0" in options,
        tcp="use-vc" in options,
    )


class Names:
    """The container's files, read when this is made: before its network namespace is joined."""

    def __init__(self, container: Container) -> None:
        files = container.engine.files(container)

        def text(path: str) -> str:
            return (files.read(path, _LARGEST) or b"").decode("utf-8", "replace")

        self._hosts = text("/etc/hosts")
        self._conf = parse(text("/etc/resolv.conf"), text("/etc/hostname"))

    def addresses(self, host: str, until: float) -> Iterator[str]:
        """The IP addresses that the name has in there, in the order in which to try them; none for none. until: the
        time, by monotonic(), when it is given up. Raises DockshellError where no server answers."""
        if host.lower() in LOOPBACK:
            yield from ("127.0.0.1", "::1")
        elif is_address(host):
            yield host
        elif found := self._in_hosts(host):
            yield from found
        else:
            yield from self._asked(host, until)

    def _in_hosts(self, host: str) -> list[str]:
        found = []
        for line in self._hosts.split("\n"):
            address, *names = line.partition("#")[0].split() or [""]
            if host.lower() in [name.lower() for name in names] and is_address(address):
                found.append(address)
        return found

    def _asked(self, host: str, until: float) -> Iterator[str]:
        """By DNS. A name that has no address, or that a server can't tell of, is no reason to stop; silence is, as for
        glibc."""
        import dns.exception
        import dns.resolver

        resolver, servers = self._resolver(), ", ".join(self._conf.servers)
        failed = False
        for name in self._conf.candidates(host):
            any_found = False
            for kind in ("A", "AAAA"):
                try:
                    answer = resolver.resolve(
                        name,
                        kind,
                        tcp=self._conf.tcp,
                        raise_on_no_answer=False,
                        lifetime=max(0.0, min(until - monotonic(), resolver.lifetime)),
                        search=False,
                    )
                    found = [each.address for each in answer.rrset or () if hasattr(each, "address")]
                except dns.exception.Timeout:
                    if any_found:
                        return
                    raise DockshellError(
                        f"its name servers don't answer ({servers}): see /etc/resolv.conf in there"
                    ) from None
                except dns.resolver.NXDOMAIN:
                    break
                except (dns.exception.DNSException, OSError, ValueError):
                    failed = True
                    continue
                any_found = any_found or bool(found)
                yield from found
            if any_found:
                return
        if failed:
            raise DockshellError(f"its name servers can't tell ({servers}): see /etc/resolv.conf in there")

    def _resolver(self) -> Any:
        import dns.resolver

        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = list(self._conf.servers)
        resolver.timeout = self._conf.timeout
        resolver.lifetime = self._conf.timeout * self._conf.attempts * len(self._conf.servers)
        resolver.rotate = self._conf.rotate
        if self._conf.edns:
            resolver.use_edns()
        return resolver


def is_address(text: str) -> bool:
    """Is it an IP address?"""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
            return True
        except (OSError, ValueError):
            continue
    return False


def _number(text: str | None, least: int, most: int, usual: int) -> int:
    if not text or not (text.isascii() and text.isdigit()):
        return usual
    return max(least, min(most, int(text[:9])))
