"""How asyncssh is imported: late, and without what it would load and never use here."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["load"]

# Each is imported for something that the bridge doesn't offer, by somebody who can do without: certificates of X.509 by
# asyncssh (asyncssh/crypto/__init__.py catches the ImportError), TLS by asyncio (asyncio/base_events.py, sslproto.py).
_SPARED = ("asyncssh.crypto.x509", "ssl")


def load() -> ModuleType:
    """The asyncssh package. A quarter of its import's time is spared; half of that goes for looking on the disk for C
    libraries (liboqs, nettle), by running compilers. Its log is silenced: it would put a client's words on stderr as
    they are."""
    if "asyncssh" not in sys.modules:
        import ctypes.util

        spared = [name for name in _SPARED if name not in sys.modules]
        look = ctypes.util.find_library
        for name in spared:
            sys.modules[name] = None  # type: ignore[assignment]  # makes its import raise ImportError
        ctypes.util.find_library = lambda name: None
        try:
            import asyncssh
        finally:
            ctypes.util.find_library = look
            for name in spared:
                del sys.modules[name]
        asyncssh.set_log_level("CRITICAL")
    import asyncssh

    return asyncssh
