"""Which variables hold a secret, by their names or by what they hold. A guess, and one that rather hides too much."""

from __future__ import annotations

import re
from itertools import pairwise

__all__ = ["MASK", "secret"]

MASK = "********"

_NOT = frozenset({"PWD", "SSH_AUTH_SOCK"})  # names that everybody has, for a directory and a socket
_PARTS = frozenset({
    "PASSWORD", "PASSWORDS", "PASSWD", "PASSPHRASE", "PASS", "PWD", "SECRET", "SECRETS", "TOKEN", "TOKENS",
    "APIKEY", "APIKEYS", "PRIVATE", "CREDENTIAL", "CREDENTIALS", "CREDS", "CRED", "AUTH", "JWT", "COOKIE",
})  # fmt: skip
# Whose key is one to keep: API_KEY, AWS_SECRET_ACCESS_KEY.
_KEYS = frozenset({
    "API", "ACCESS", "SECRET", "PRIVATE", "SIGNING", "ENCRYPTION", "MASTER", "SESSION", "ACCOUNT", "LICENSE",
})  # fmt: skip
# Those that nothing else ends in: PGPASSWORD.
_ENDINGS = ("PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "APIKEY")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_BETWEEN = re.compile(r"[^A-Z0-9]+")

# Each begins where a word does, or is bounded: a value is made by a container, which could have this take its time.
_SHAPES = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\bgh[opsur]_[A-Za-z0-9]{20}|\bgithub_pat_\w{20}|\bglpat-[\w-]{20}|\bxox[a-z]-[A-Za-z0-9-]{10}"
    r"|\b[rs]k_(?:live|test)_[A-Za-z0-9]{10}|\bsk-[\w-]{20}|\bAIza[\w-]{35}|\bnpm_[A-Za-z0-9]{30}"
    r"|\bpypi-[\w-]{20}|\bdckr_pat_[\w-]{20}|\bhf_[A-Za-z0-9]{30}"
    r"|(?<![\w-])eyJ[\w-]+\.eyJ[\w-]+\."
    r"|(?i:(?:password|passwd|pwd|secret|token|api_?key|accountkey)[\"']?\s{0,8}[=:]\s{0,8}\S)"
    r"|\b(?i:bearer|basic)\s{1,8}[A-Za-z0-9+/._-]{16}"
)


def secret(name: str, value: str) -> bool:
    """Does the variable hold a secret? An empty one does not."""
    return bool(value) and (_named(name) or bool(_SHAPES.search(value)) or _address(value))


def _named(name: str) -> bool:
    if name in _NOT:
        return False
    parts = [part.rstrip("0123456789") for part in _BETWEEN.split(_HUMP.sub("_", name).upper())]
    keys = any(one in _KEYS and other in ("KEY", "KEYS") for one, other in pairwise(parts))
    return keys or any(part in _PARTS or part.endswith(_ENDINGS) for part in parts)


def _address(value: str) -> bool:
    """Is there a URL with a password? `scheme://user:password@host`; the password may hold anything but a blank."""
    for word in value.split():
        begin = word.find("://")
        if begin >= 0 and ":" in word[begin + 3 :].rpartition("@")[0]:
            return True
    return False
