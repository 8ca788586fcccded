"""An SSH session's channel, where asyncssh's own takes less than an sshd does. All use of asyncssh's insides is in
here.

asyncssh 2.24 refuses a command that isn't UTF-8, keeps whatever variables a client sends, and has the agent's socket
in a directory of the machine it runs on. The methods that are taken over are named after the requests of RFC 4254,
section 6, and have been so since 2016."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import asyncssh
from asyncssh.kex import get_kex_algs
from asyncssh.packet import PacketDecodeError, SSHPacket

from dockshell.bridge.errand import passed_on

__all__ = [
    "NONSENSE", "SIGNATURES", "WINDOW", "Agent", "Channel", "decided_by", "key_exchanges", "open_agent", "truncatable",
]  # fmt: skip

# What asyncssh's reading of a client's version, key exchange and empty packets raises besides its own errors.
NONSENSE = (PacketDecodeError, UnicodeDecodeError)
WINDOW = 2 << 20  # bytes that a client may send ahead, for each channel; what OpenSSH has too
# Of whoever logs in: nothing with SHA-1.
SIGNATURES = (
    "ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com", "rsa-sha2-512", "rsa-sha2-256",
)  # fmt: skip
_LARGEST_PACKET = 32 << 10
_MOST_VARIABLES = 64
_LARGEST_VARIABLE = 4 << 10  # bytes


class Agent(Protocol):
    async def __call__(self) -> bool:
        """Makes the agent's socket inside → was that possible?"""


class Channel(asyncssh.SSHServerChannel[bytes]):
    """agent: called where the client offers its agent. line: the command as it came, once one did. variables: those
    that may come along."""

    def __init__(self, connection: asyncssh.SSHServerConnection, agent: Agent | None, terminals: bool) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(connection, loop, terminals, False, False, 0, 0, None, "strict", WINDOW, _LARGEST_PACKET)
        connection._update_recv_pktlen(_LARGEST_PACKET)
        self._agent = agent
        self.line = b""
        self.variables: dict[str, str] = {}

    def _process_exec_request(self, packet: SSHPacket) -> bool:
        self.line = packet.get_string()
        packet.check_end()
        return self._start_session(command=self.line.decode("latin-1"))

    def _process_env_request(self, packet: SSHPacket) -> bool:
        name, value = packet.get_string(), packet.get_string()
        packet.check_end()
        known = name.decode("ascii", "replace")
        if not passed_on(known):
            return False
        if len(self.variables) >= _MOST_VARIABLES or len(value) > _LARGEST_VARIABLE or b"\0" in value:
            return False
        self.variables[known] = value.decode("utf-8", "surrogateescape")
        return True

    def _process_x11_req_request(self, packet: SSHPacket) -> bool:
        return False

    def _process_auth_agent_req_at_openssh_dot_com_request(self, packet: SSHPacket) -> None:
        packet.check_end()
        self._conn.create_task(self._offer_agent(), self.logger)

    async def _offer_agent(self) -> None:
        made = await self._agent() if self._agent else False
        if self._conn:
            self._report_response(made)


async def open_agent(connection: asyncssh.SSHServerConnection, factory: Callable[[], Any]) -> Any:
    """A new connection to the client's agent."""
    opened: Awaitable[Any] = connection.create_agent_channel().open(factory)
    return await opened


def decided_by(connection: asyncssh.SSHServerConnection, decide: Callable[[bytes, bytes, bytes], bool]) -> None:
    """Has each login by a public key decided by somebody else. decide: given the key (RFC 4253, 6.6), the request as it
    came and its signature, the latter two empty where the client only asks whether that key will do (RFC 4252, 7)."""

    async def validate(username: str, key: bytes, message: bytes, signature: bytes) -> bool:
        return decide(key, message, signature)

    connection.validate_public_key = validate  # type: ignore[method-assign,assignment]


def key_exchanges(*wanted: str) -> list[str]:
    """Those of them that there are here."""
    there = get_kex_algs()
    return [name for name in wanted if name.encode() in there]


def truncatable(connection: asyncssh.SSHServerConnection) -> bool:
    """Could somebody in between take away the first messages after the key exchange without being noticed
    (CVE-2023-48795)? By ChaCha20-Poly1305 and by encrypt-then-MAC, where the client doesn't know strict key exchange,
    which asyncssh itself always offers."""
    told = connection.get_extra_info
    for way in ("send", "recv"):
        cipher, mac = str(told(f"{way}_cipher")), str(told(f"{way}_mac"))
        if cipher.startswith("chacha20-") or ("-gcm@" not in cipher and "-etm@" in mac):
            return not connection._strict_kex
    return False
