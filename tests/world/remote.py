"""Engines that are reached other than by their own socket: dockerd on TCP and on TLS, and through a real sshd."""

from __future__ import annotations

import datetime
import ipaddress
import itertools
import os
import shlex
import socket
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field

from dockshell.engines.where import Tls
from tests.world import World
from tests.world.daemon import Daemon
from tests.world.peer import Peer
from tests.world.scratch import new_bridge

__all__ = ["Remote", "certificates", "over_ssh", "over_tcp", "over_tls", "over_unix"]

_numbers = itertools.count(1)


@dataclass
class Remote:
    """address, tls: what SdkApi wants. kind: `docker` or `podman`. container: the name of a busybox that runs there.
    environment: what the program needs to get there. host: the container that stands for the engine's machine."""

    address: str
    container: str
    kind: str = "docker"
    tls: Tls | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    daemon: Daemon | None = None
    peer: Peer | None = None
    patch: object = None
    host: str = ""

    def close(self) -> None:
        """Removes what was made."""
        if self.peer and self.daemon:
            self.peer.close()
        if self.daemon:
            self.daemon.stop()
        if self.patch is not None:
            os.environ["PATH"] = str(self.patch)


def over_unix(peer: Peer) -> Remote:
    """The engine's own socket."""
    return Remote(peer.url, peer.shared("busybox"), peer.name)


def over_tcp(world: World, directory: str) -> Remote:
    """A dockerd of its own, on TCP."""
    return _dockerd(world, "tcp", [], None, {})


def over_tls(world: World, directory: str) -> Remote:
    """A dockerd of its own, that takes those with a certificate alone."""
    files = certificates(directory)
    server = os.path.join(directory, "server")
    words = ["--tlsverify", "--tlscacert", files.ca, "--tlscert", f"{server}-cert.pem", "--tlskey", f"{server}-key.pem"]
    return _dockerd(world, "tls", words, files, {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": directory})


def _dockerd(world: World, name: str, words: list[str], tls: Tls | None, environment: dict[str, str]) -> Remote:
    world.need_root()
    world.need_program("dockerd")
    number = next(_numbers)
    directory = os.path.join(world.scratch, f"{name}{number}")
    os.makedirs(directory)
    with open(os.path.join(directory, "daemon.json"), "w", encoding="ascii") as file:
        file.write("{}")
    port = _free_port()
    # A bridge of its own, as no bridge at all has dockerd take the machine's docker0 away.
    bridge = f"ds{name}{number}-{os.getpid()}"
    new_bridge(world.scratch, bridge)
    argv = [
        "dockerd", "--config-file", f"{directory}/daemon.json", "--host", f"unix://{directory}/engine.sock",
        "--host", f"tcp://127.0.0.1:{port}", "--pidfile", f"{directory}/pid", "--data-root", f"{directory}/data",
        "--exec-root", f"{directory}/exec", "--bridge", bridge, "--iptables=false", "--ip6tables=false",
    ]  # fmt: skip
    daemon = Daemon([*argv, *words], directory, {"DOCKERD_ALLOW_INSECURE_TCP": "1"})
    peer = Peer(
        "docker", daemon.url, [world.need_program("docker"), "-H", daemon.url], {}, world.scratch, lambda text: None
    )
    container = peer.run("busybox", options=("--network", "none"))
    return Remote(f"tcp://127.0.0.1:{port}", container, "docker", tls, environment, daemon, peer)


def certificates(directory: str) -> Tls:
    """An authority, and certificates of it for a server at 127.0.0.1 (server-cert.pem, server-key.pem) and for a
    client."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = datetime.datetime.now(datetime.UTC)
    authority = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dockshell's tests")])

    def write(name: str, key: ec.EllipticCurvePrivateKey, ca: bool) -> None:
        subject = issuer if ca else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name or "client")])
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        built = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
            .add_extension(address, critical=False)
            .sign(authority, hashes.SHA256())
        )
        with open(os.path.join(directory, "ca.pem" if ca else f"{name}cert.pem"), "wb") as file:
            file.write(built.public_bytes(serialization.Encoding.PEM))
        if not ca:
            plain = serialization.NoEncryption()
            secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
            with open(os.path.join(directory, f"{name}key.pem"), "wb") as file:
                file.write(secret)

    write("", authority, ca=True)
    for name in ("server-", ""):
        write(name, ec.generate_private_key(ec.SECP256R1()), ca=False)
    return Tls(f"{directory}/ca.pem", f"{directory}/cert.pem", f"{directory}/key.pem")


def over_ssh(world: World, directory: str) -> Remote:
    """The tests' Docker, through an sshd in a container that has its socket and the `docker` client. `ssh` on the PATH
    becomes one with a configuration of its own, for the real one reads the configuration of who runs the tests whatever
    HOME says."""
    peer, client, ssh = world.docker, world.need_program("docker"), world.need_program("ssh")
    for key in ("key", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{directory}/{key}"], check=True)
    engine = peer.url.removeprefix("unix://")
    options = ["--publish", "127.0.0.1::22", "--volume", f"{client}:/usr/local/bin/docker:ro"]
    options += ["--volume", f"{engine}:/var/run/docker.sock", "--volume", f"{engine}:/other/engine.sock"]
    with open(f"{directory}/key.pub", encoding="ascii") as file:
        options += ["--env", f"KEY={file.read().strip()}"]
    host = peer.baseimage(insecure_key=False, options=options)
    peer.sh("exec", host, "sh", "-c", 'mkdir -p -m 700 /root/.ssh && echo "$KEY" > /root/.ssh/authorized_keys')
    port = peer.ask("port", host, "22").rpartition(":")[2]
    known = peer.ask("exec", host, "cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()[:2]
    with open(f"{directory}/other.pub", encoding="ascii") as file:
        other = file.read().split()[:2]
    _write_configuration(directory, port, " ".join(known), " ".join(other))
    wrapper = os.path.join(directory, "bin", "ssh")
    os.makedirs(os.path.dirname(wrapper))
    with open(wrapper, "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\nexec {shlex.quote(ssh)} -F {shlex.quote(directory)}/config "$@"\n')
    os.chmod(wrapper, stat.S_IRWXU)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{os.path.dirname(wrapper)}:{before}"
    environment = {"PATH": os.environ["PATH"]}
    return Remote("ssh://engine", peer.shared("busybox"), environment=environment, patch=before, host=host)


def _write_configuration(directory: str, port: str, key: str, other: str) -> None:
    for name, line in (
        ("known", f"[127.0.0.1]:{port} {key}"),
        ("changed", f"[127.0.0.1]:{port} {other}"),
        ("empty", ""),
    ):
        with open(f"{directory}/{name}", "w", encoding="ascii") as file:
            file.write(line + "\n")
    with open(f"{directory}/config", "w", encoding="ascii") as file:
        for host, known, identity in (
            ("engine", "known", "key"),
            ("sharing", "known", "key"),
            ("stranger", "empty", "key"),
            ("impostor", "changed", "key"),
            ("locked-out", "known", "other"),
        ):
            file.write(f"Host {host}\n  HostName 127.0.0.1\n  Port {port}\n  User root\n")
            file.write(f"  IdentityFile {directory}/{identity}\n  IdentitiesOnly yes\n")
            file.write(f"  GlobalKnownHostsFile none\n  UserKnownHostsFile {directory}/{known}\n")
            if host == "sharing":
                file.write(f"  ControlMaster auto\n  ControlPersist 30\n  ControlPath {directory}/%n\n")
        file.write(f"Host nobody-there\n  HostName 127.0.0.1\n  Port {_free_port()}\n")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
