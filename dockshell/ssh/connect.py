"""A connected socket → a Transport that is logged in: the host key is checked before anything of ours is shown."""

from __future__ import annotations

from dockshell.errors import HostKeyError, LoginError, printable
from dockshell.ssh import library
from dockshell.ssh.hostkeys import ALGORITHMS
from dockshell.ssh.keys import fingerprint
from dockshell.ssh.requests import transport_class

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from paramiko import Transport

    from dockshell.ssh.keys import Key

__all__ = ["PATIENCE", "connect", "hang_up", "log_in"]

PATIENCE = 10.0  # seconds for each step of the way; the sshd is a neighbour
_KEEPALIVE = 5
# Fastest first, of what is sound: AES-GCM needs no separate MAC. What one side lacks is left out.
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
_MACS = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")


def connect(connection: socket.socket, host_keys: dict[str, set[bytes]], name: str) -> Transport:
    """The key exchange. host_keys: what hostkeys.read() found in the container; name: the container's, for people.

    Raises HostKeyError where the server shows another key than these, before anything else was sent to it; LoginError
    where it speaks no SSH that we do. Then the socket is closed.
    """
    paramiko = library.load()
    transport: Transport = transport_class()(connection)
    options = transport.get_security_options()
    # Only kinds that the container has are asked for, so that an honest server can always show one of them.
    options.key_types = tuple(a for kind in host_keys for a in ALGORITHMS[kind] if a in options.key_types)
    options.ciphers = tuple(c for c in _CIPHERS if c in options.ciphers)
    options.digests = tuple(m for m in _MACS if m in options.digests)
    transport.banner_timeout = PATIENCE
    transport.auth_timeout = PATIENCE
    try:
        transport.start_client(timeout=PATIENCE)
        shown = transport.get_remote_server_key()
    except (paramiko.SSHException, OSError, EOFError, ValueError) as error:
        hang_up(transport)
        raise LoginError(
            f"the sshd of {printable(name)} broke off before the login "
            f"({printable(str(error)) or type(error).__name__}): "
            "see its log inside, or take another way with --via exec"
        ) from None
    if not any(shown.asbytes() in blobs for blobs in host_keys.values()):
        hang_up(transport)
        raise HostKeyError(
            f"the server that answered is not the sshd of {printable(name)}: its host key "
            f"{fingerprint(shown.asbytes())} is none of those in the container's /etc/ssh; "
            "restart the sshd if its keys were made anew, or take another way with --via exec"
        )
    transport.set_keepalive(_KEEPALIVE)
    return transport


def log_in(transport: Transport, user: str, keys: Iterable[Key], name: str) -> Key:
    """Tries the keys in turn, nothing but keys → the one that was taken. Raises LoginError where none is, and then the
    transport is closed."""
    paramiko = library.load()
    tried = []
    try:
        for key in keys:
            tried.append(key.origin)
            try:
                if not transport.auth_publickey(user, key.load()):
                    return key
                reason = "it wants more than a key"
                break
            except paramiko.BadAuthenticationType:
                reason = "it takes no keys"
                break
            except paramiko.SSHException:
                reason = "it took none of " + ", ".join(tried)
                if not transport.is_active():
                    reason = f"it hung up after {', '.join(tried)}"
                    break
    except BaseException:
        hang_up(transport)
        raise
    hang_up(transport)
    raise LoginError(
        f"the sshd of {printable(name)} did not let {printable(user)} in: {reason}; "
        "give one with --key that stands in the user's authorized_keys, or take another way with --via exec"
    )


def hang_up(transport: Transport) -> None:
    """Ends the connection and paramiko's thread, at once."""
    import socket

    try:
        # The thread sits in recv(), up to a tenth of a second; this ends that.
        transport.sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    # Its timer for the handshake is a thread too, which a failure leaves running.
    transport.packetizer.complete_handshake()
    transport.close()
    transport.sock.close()
