"""The caller's terminal against a command that has one, and against what stays of it. The control shows what the same
program does at a terminal that is really its own."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import COMMAND
from tests.contract.watching import until
from tests.world import Peer, World

# Types (ioctl_tty(2), TIOCSTI), writes, resizes and turns the echo off wherever it can, now and for a while after its
# own end. Whatever is named is tried, but its own descriptors always.
_ATTACK = r"""
use strict; $| = 1; $SIG{$_} = "IGNORE" for qw(HUP INT QUIT TERM TTIN TTOU PIPE);
my ($done, @places) = @ARGV;
my $size = pack "S4", 3, 3, 0, 0;
open my $own, ">&", \*STDOUT;
sub attack {
    my @open = ($own);
    for my $name (map { glob } @places) {
        open my $file, "+<", $name or next;
        push @open, $file if -t $file;
    }
    for my $each (@open) {
        for my $key (split //, "forged\n") { ioctl $each, 0x5412, $key }
        ioctl $each, 0x5414, $size;
        syswrite $each, "[forged]";
        open STDIN, "<&", $each; system "stty", "-echo";
    }
}
attack();
exit if fork;
for (1 .. 20) { select undef, undef, undef, 0.1; attack(); }
open my $file, ">", $done; print $file "done\n";
"""
_EVERYWHERE = ("/dev/tty", "/dev/console", "/dev/pts/*", "/proc/[0-9]*/fd/*", "/proc/[0-9]*/root/dev/pts/*")


def _at_a_terminal(terminal: Callable[..., Any], attack: list[str], then: str = ":", **options: Any) -> Any:
    """A person's shell, that runs this, does what comes then and reads a line → its terminal, a pexpect.spawn."""
    script = (
        f'before=$(stty -g); {shlex.join(attack)}; echo ov""er; {then}; IFS= read -r line; echo "read <$line>"; '
        'stty size; test "$(stty -g)" = "$before" && echo sa""me || echo cha""nged'
    )
    child = terminal("-c", script, command=["/bin/sh"], **options)
    child.expect_exact(b"over\r\n")
    return child


@pytest.mark.parametrize("via", ["nsenter", "exec", "toolbox"])
def test_nothing_inside_drives_the_callers_terminal(
    engine: Peer, terminal: Callable[..., Any], world: World, via: str
) -> None:
    """Nor what a command left behind, once the session is over: no key is typed, nothing is written, and size and modes
    are as they were."""
    world.need_root()
    name = engine.run("baseimage")
    attack = [*COMMAND, "exec", "--via", via, "-t", name, "perl", "-e", _ATTACK, "/tmp/done", *_EVERYWHERE]
    child = _at_a_terminal(terminal, attack, engine=engine)
    until(lambda: engine.sh("exec", name, "cat", "/tmp/done", check=False).stdout == b"done\n")
    child.send(b"mine\r")
    child.expect_exact(b"same\r\n")
    assert child.before == b"mine\r\nread <mine>\r\n24 80\r\n"


def test_at_its_own_terminal_a_program_drives_it(terminal: Callable[..., Any], world: World, tmp_path: Path) -> None:
    """The control: without a container, at the terminal that it was started at."""
    world.need_root()
    world.need_program("perl")
    done = str(tmp_path / "done")
    child = _at_a_terminal(terminal, ["perl", "-e", _ATTACK, done], f"until test -e {done}; do sleep 0.1; done")
    child.expect_exact(b"changed\r\n")
    typed = b"forged\r\n" if b"forged\r\n" in child.before else b""
    assert child.before.replace(b"[forged]", b"").replace(typed, b"") == b"read <forged>\r\n3 3\r\n"
    assert b"[forged]" in child.before
