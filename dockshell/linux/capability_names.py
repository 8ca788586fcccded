"""The names of capabilities, as people write them: capabilities(7)."""

from __future__ import annotations

from dockshell.errors import UsageError, printable
from dockshell.linux.credentials import last_capability

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NAMES", "mask", "spelled"]

# In the order of their numbers, which linux/capability.h gives them.
_WORDS = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
    NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
    SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
    MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
NAMES = tuple(_WORDS.split())


def mask(names: Iterable[str]) -> int:
    """Names, with or without `CAP_` and in any case → a bit mask. Raises UsageError for one that is none, or that this
    kernel doesn't know."""
    found = 0
    for name in names:
        word = name.upper().removeprefix("CAP_")
        if word not in NAMES:
            import difflib

            near = difflib.get_close_matches(word, NAMES, n=3, cutoff=0.5)
            hint = " or ".join(near) if near else "capabilities(7) lists them"
            raise UsageError(f"no capability {printable(name)!r}: " + (f"did you mean {hint}?" if near else hint))
        if NAMES.index(word) > last_capability():
            raise UsageError(f"this machine's kernel has no capability {word} yet: leave it out")
        found |= 1 << NAMES.index(word)
    return found


def spelled(mask: int) -> str:
    """The names of those in the mask, for people."""
    return ", ".join(
        NAMES[number] if number < len(NAMES) else str(number)
        for number in range(mask.bit_length())
        if mask >> number & 1
    )
