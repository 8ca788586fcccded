"""The keys that we can log in with: a file, the agent's, one of dockshell's own, and the insecure key of
baseimage-docker, which is public."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os

from dockshell.errors import DockshellError, UsageError, printable
from dockshell.model import noun
from dockshell.ssh import library
from dockshell.ssh.own import CLIENT, kept, key_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from paramiko import AgentKey, PKey

__all__ = ["INSECURE_BLOB", "Key", "candidates", "fingerprint", "from_file", "own", "standing"]

# The insecure key of baseimage-docker: RSA with 2048 bits. Everybody has it; it keeps nobody out and is no secret.
_E = 65537
_P = int(
    "f7d761f8e93d98bcacf210a6ec75dc1b3bc5a4b5fc56bd5aaac47eb3e9b4575454778508663ca8e5157b03ef88775bb349c1ef562793dfdef7a6a01588a341da"
    "93433567a582388bc1a21a4e603cc881d9461e27f1d99880778ed5b27fa67f18ed212756ba997d170f7cc918da856a2c2a69881d3b517087d81c1f73b6947ca3",
    16,
)
_Q = int(
    "dca34c60c1607a713eeeae29c1ab78b7744a03bad4f123eda39235fac10763caf3703ece36421594485aa8dfae4c461baf9ad96b876c41ee086beed95e63b876"
    "316c00ffdfc895fe5425ff6c72bcdd5e47f6da137512d3aaa7ea27718e799e3590f20de940c75446b84bcb5f54cd0330d3c41c18cb31f75b64692805000f5d69",
    16,
)
_HOME_FILE = "~/.baseimage_docker_insecure_key"
_LARGEST = 1 << 20


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _mpint(number: int) -> bytes:
    return _string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


# RFC 4253, 6.6.
INSECURE_BLOB = _string(b"ssh-rsa") + _mpint(_E) + _mpint(_P * _Q)


@noun(frozen=True)
class Key:
    """blob: the public half (RFC 4253, 6.6). origin: where it is from, for people. load: makes paramiko's object of
    it, which is what costs."""

    blob: bytes
    origin: str
    load: Callable[[], PKey]


def fingerprint(blob: bytes) -> str:
    """As ssh-keygen -l prints it: SHA256: and the hash in base64 without padding."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode("ascii").rstrip("=")


def candidates(file: str = "") -> Iterator[Key]:
    """Every key we have, in the order in which they are tried: the file (from --key), the agent's, the one in the home
    directory, the insecure one. Each is looked for only when the one before has been taken. Raises UsageError for the
    file."""
    if file:
        yield from_file(file)
    yield from _agent()
    yield from _home()
    yield Key(INSECURE_BLOB, "the insecure key", _insecure)


def standing(file: str, allowed: set[bytes]) -> Key | None:
    """One of our keys that is among the allowed blobs: the file's if there is one, the insecure one only for want of
    another. Raises UsageError for the file."""
    if file and (given := from_file(file)).blob in allowed:
        return given
    if not allowed - {INSECURE_BLOB}:
        return Key(INSECURE_BLOB, "the insecure key", _insecure) if allowed else None
    held = next((key for key in (*_kept(), *_agent(), *_home()) if key.blob in allowed), None)
    return held or (Key(INSECURE_BLOB, "the insecure key", _insecure) if INSECURE_BLOB in allowed else None)


def own() -> Key:
    """Dockshell's own, made when it is first asked for. Raises DockshellError where it can't be had."""
    path = key_file(CLIENT, "dockshell")
    content = _content(path)
    blob = _public_half(path, content) if content else None
    if not content or not blob or not blob.startswith(_string(b"ssh-ed25519")):
        raise DockshellError(f"the key {printable(path)} can't be read: remove it, and another is made")
    return Key(blob, "dockshell's own key", lambda: _parsed(content, CLIENT).load())


def _kept() -> list[Key]:
    """Dockshell's own, if there is one already."""
    try:
        return [own()] if kept(CLIENT) else []
    except DockshellError:
        return []


def from_file(path: str) -> Key:
    """The private key in that file, of any format that OpenSSH or OpenSSL write. An encrypted one is used through the
    agent, if that holds it, for nothing here ever asks for a passphrase. Raises UsageError."""
    library.load()
    name = printable(path)
    content = _content(path)
    if content is None:
        raise UsageError(f"the key {name} can't be read: give a file that exists and is yours with --key")
    try:
        return _parsed(content, name)
    except TypeError:  # what cryptography raises for a key that needs a passphrase
        blob = _public_half(path, content)
        for key in _agent():
            if key.blob == blob:
                return key
        raise UsageError(
            f"the key {name} is encrypted and no agent holds it: add it with `ssh-add {name}` first"
        ) from None
    except ValueError:
        why = (
            "is a public key: give its private half"
            if _is_public(content)
            else "is no private key in a known format: make one with ssh-keygen"
        )
        raise UsageError(f"the key {name} {why}") from None


def _content(path: str) -> bytes | None:
    try:
        # Not to wait where it is a FIFO.
        with open(
            os.path.expanduser(path), "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)
        ) as file:
            return file.read(_LARGEST)
    except OSError:
        return None


def _parsed(content: bytes, origin: str) -> Key:
    """Raises ValueError for a wrong format, TypeError for one that is encrypted."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    read = forms.load_ssh_private_key if b"OPENSSH PRIVATE KEY" in content else forms.load_pem_private_key
    try:
        private = read(content, None)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from None
    if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise ValueError("a kind of key that SSH no longer takes")
    public = private.public_key().public_bytes(forms.Encoding.OpenSSH, forms.PublicFormat.OpenSSH)
    return Key(base64.b64decode(public.split()[1]), origin, lambda: _wrapped(private))


def _wrapped(private: object) -> PKey:
    """cryptography's key → paramiko's."""
    import io

    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    paramiko = library.load()
    if isinstance(private, rsa.RSAPrivateKey):
        key: PKey = paramiko.RSAKey(key=private)
    elif isinstance(private, ec.EllipticCurvePrivateKey):
        key = paramiko.ECDSAKey(vals=(private, private.public_key()))
    else:
        assert isinstance(private, ed25519.Ed25519PrivateKey)
        text = private.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.OpenSSH, forms.NoEncryption())
        key = paramiko.Ed25519Key.from_private_key(io.StringIO(text.decode("ascii")))
    return key


def _public_half(path: str, content: bytes) -> bytes | None:
    """The blob that belongs to an encrypted private key: an OpenSSH file holds it in clear (openssh's PROTOCOL.key),
    any other may have a .pub beside it."""
    body = _body(content)
    if body.startswith(b"openssh-key-v1\0"):
        place = 15
        for _ in range(3):  # the cipher, the key derivation, its options
            place += 4 + int.from_bytes(body[place : place + 4], "big")
        place += 4  # how many keys: one
        return body[place + 4 : place + 4 + int.from_bytes(body[place : place + 4], "big")]
    try:
        return base64.b64decode((_content(path + ".pub") or b"").split()[1])
    except (IndexError, binascii.Error):
        return None


def _body(content: bytes) -> bytes:
    """What a PEM file holds, decoded; empty where it doesn't follow the form."""
    lines = [line for line in content.split(b"\n") if line and not line.startswith(b"-----") and b":" not in line]
    try:
        return base64.b64decode(b"".join(lines))
    except binascii.Error:
        return b""


def _is_public(content: bytes) -> bool:
    return content.startswith((b"ssh-", b"ecdsa-", b"sk-")) or b"PUBLIC KEY" in content.split(b"\n", 1)[0]


def _agent() -> list[Key]:
    """The keys that the agent at SSH_AUTH_SOCK holds; none where none answers."""
    if not os.environ.get("SSH_AUTH_SOCK"):
        return []
    paramiko = library.load()
    try:
        held = paramiko.Agent().get_keys()
    except (paramiko.SSHException, OSError, EOFError, ValueError):
        return []
    return [_held(key) for key in held]


def _held(key: AgentKey) -> Key:
    return Key(key.blob, "the agent's " + printable(key.comment or key.get_name()), lambda: key)


def _home() -> list[Key]:
    content = _content(_HOME_FILE)
    # What lies there is nearly always the constant, which is cheaper to use as such: any form of the file spells its
    # first prime.
    if not content or _P.to_bytes(128, "big") in _body(content):
        return []
    library.load()
    try:
        return [_parsed(content, _HOME_FILE)]
    except (TypeError, ValueError):
        return []


def _insecure() -> PKey:
    from cryptography.hazmat.primitives.asymmetric import rsa

    d = pow(_E, -1, (_P - 1) * (_Q - 1))
    numbers = rsa.RSAPrivateNumbers(
        _P, _Q, d, d % (_P - 1), d % (_Q - 1), pow(_Q, -1, _P), rsa.RSAPublicNumbers(_E, _P * _Q)
    )
    # The check takes 36 ms and could only find that this file was changed.
    private: RSAPrivateKey = numbers.private_key(unsafe_skip_rsa_key_validation=True)
    return _wrapped(private)
