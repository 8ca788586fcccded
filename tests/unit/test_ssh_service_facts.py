"""What the script tells of a container's sshd: all of it is the container's to say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dockshell.ssh.service import Facts, understood

_TABLE = "   0: {address}:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 {inode} 1"


def _row(address: str, port: int, inode: int) -> str:
    return "tcp " + _TABLE.format(address=address, port=port, inode=inode)


def test_it_is_understood() -> None:
    """The service, its files, and the sockets that are the sshd's own: not another program's, nor those of a login."""
    told = "\n".join(
        [
            "service run: /etc/service/sshd: (pid 17) 3s, normally down", "down", "record",
            "process 17 5", "socket 17 [100]", "process 30 17", "socket 30 [200]",
            _row("00000000", 22, 100), _row("0100007F", 6010, 200), _row("00000000", 80, 300),
        ]
    )  # fmt: skip
    assert understood(told) == Facts("run", 17, True, True, ((22, "0.0.0.0"),))
    assert understood("service down: /etc/service/sshd: 3s") == Facts("down")
    assert understood("service fail: /etc/service/sshd: unable to change to service directory") == Facts()
    assert understood("service look: 1: sv: not found") == Facts()


_LINES = st.lists(
    st.one_of(
        st.sampled_from(["service run: x: (pid 99999999999) ", "process 1 1", "socket 1 [1]", _row("0" * 8, 22, 1)]),
        st.sampled_from(
            [
                _row("zz", 22, 1),
                _row("0" * 32, 1, 1),
                _row("0" * 8, 1 << 17, 1),
                "tcp",
                "tcp6 ",
                "socket",
                "process a",
                "\x1b[m",
                "down",
            ]
        ),
        st.text(),
    )
)


@given(_LINES)
def test_any_text_is_facts(lines: list[str]) -> None:
    """Nothing that a container says brings it down."""
    facts = understood("\n".join(lines))
    assert facts.state in ("", "run", "down")
    assert all(0 <= port < 65536 for port, _ in facts.listening)
