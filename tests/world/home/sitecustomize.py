"""On PYTHONPATH of the tests' dockshell: passwd has the caller's home where HOME says. So no test reads or writes the
~/.ssh of who runs the tests, which ssh, and dockshell for ssh, look up in passwd."""

import os
import pwd

_real = pwd.getpwuid


def _getpwuid(uid: int) -> pwd.struct_passwd:
    entry = _real(uid)
    home = os.environ.get("HOME", entry.pw_dir) if uid == os.getuid() else entry.pw_dir
    return pwd.struct_passwd((*entry[:5], home, *entry[6:]))


pwd.getpwuid = _getpwuid
