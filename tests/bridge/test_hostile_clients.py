"""Clients that mean harm, or make no sense, at the bridge: they are refused, and others don't notice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import time
from typing import Any

import pytest

from tests.bridge.conftest import Way
from tests.conftest import COMMAND
from tests.contract.watching import children, memory, until


def _proxy(way: Way, name: str) -> subprocess.Popen[bytes]:
    env = {**way.caller.environment, "DOCKER_HOST": way.peer.url}
    pipe = subprocess.PIPE
    return subprocess.Popen([*COMMAND, "proxy", name], stdin=pipe, stdout=pipe, stderr=pipe, env=env)


def _ends(process: subprocess.Popen[bytes], seconds: float = 60) -> bytes:
    """It ends by itself, soon, without a traceback, and leaves no child."""
    mine = children(process.pid)
    said = process.communicate(timeout=seconds)[1]
    assert b"Traceback" not in said
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in mine))
    return said


_MOST_SESSIONS = 100  # in one connection, server.py
_VERSION = b"SSH-2.0-hostile\r\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GET / HTTP/1.0\r\n\r\n",
        b"SSH-1.5-old\r\n",
        b"A" * 100_000,
        _VERSION + b"\xff" * 100,
        _VERSION + (1 << 31).to_bytes(4, "big") + b"\0" * 100,
        _VERSION + (12).to_bytes(4, "big") + b"\x0a" + bytes(11),
        _VERSION + (28).to_bytes(4, "big") + b"\x04\x14" + bytes(26),
        _VERSION + random.Random(7).randbytes(50_000),
    ],
    ids=["nothing", "http", "ssh1", "no version", "ones", "too long", "zeroes", "short kexinit", "random"],
)
def test_what_is_no_ssh_ends(rooted: Way, content: bytes) -> None:
    """Whatever comes instead of SSH ends the connection, and the process with it."""
    process = _proxy(rooted, rooted.peer.shared("busybox"))
    assert process.stdin and process.stdout
    try:
        process.stdin.write(content)
        process.stdin.close()
    except BrokenPipeError:
        pass
    process.stdin = None
    _ends(process)


def _connected(way: Way, name: str) -> Any:
    import asyncssh

    return asyncssh.connect(f"{name}.dockshell", config=[way.config], known_hosts=None)


def test_ten_thousand_channels(rooted: Way) -> None:
    """Of ten thousand sessions that are to go on, as many run as may and the others are refused; what runs goes on; and
    when they have ended there is room for as many again."""
    import asyncssh

    name = rooted.peer.shared("busybox")

    async def main() -> tuple[list[int], str, bytes]:
        async with _connected(rooted, name) as connection:
            running = await connection.create_process("cat")

            async def opened(count: int) -> list[Any]:
                found = await asyncio.gather(
                    *(connection.create_process("cat") for _ in range(count)), return_exceptions=True
                )
                assert all(isinstance(each, (asyncssh.ChannelOpenError, asyncssh.SSHClientProcess)) for each in found)
                return [each for each in found if not isinstance(each, BaseException)]

            held = [await opened(200)]
            held += [await opened(980) for _ in range(10)]
            counts = [len(held[0]), sum(map(len, held[1:]))]
            running.stdin.write("still here\n")
            line = await running.stdout.readline()
            for each in held[0]:
                each.stdin.write_eof()
            for each in held[0]:
                await each.wait()
            again = await connection.run("echo again")
            return counts, str(line), str(again.stdout).encode()

    counts, line, again = asyncio.run(main())
    assert counts == [_MOST_SESSIONS - 1, 0]
    assert line == "still here\n" and again == b"again\n"


def test_channels_that_do_nothing(rooted: Way) -> None:
    """Ten thousand sessions in which nothing is ever asked for are not all opened."""
    name = rooted.peer.shared("busybox")

    async def main() -> tuple[int, str]:
        import asyncssh
        from asyncssh.channel import SSHClientChannel

        async with _connected(rooted, name) as connection:

            async def idle() -> None:
                channel: Any = SSHClientChannel(
                    connection, asyncio.get_running_loop(), "strict", None, "strict", 1 << 20, 1 << 15
                )
                await channel._open(b"session")

            refused = 0
            for _ in range(100):
                opened = await asyncio.gather(*(idle() for _ in range(100)), return_exceptions=True)
                refused += sum(isinstance(each, asyncssh.ChannelOpenError) for each in opened)
            # There is no room left for another in this connection, but there is in the next.
            async with _connected(rooted, name) as other:
                return refused, str((await other.run("echo others go on")).stdout)

    refused, line = asyncio.run(main())
    assert refused >= 9_900 and line == "others go on\n"


def test_unknown_requests(rooted: Way) -> None:
    """Requests and channels that nobody has heard of are turned down one by one."""
    name = rooted.peer.shared("busybox")

    async def main() -> tuple[list[bool], str]:
        import asyncssh
        from asyncssh.packet import String, UInt32

        async with _connected(rooted, name) as connection:
            process = await connection.create_process("cat")
            channel: Any = process.channel
            answers = [
                await channel._make_request(b"nonsense@example.com", String(b"x" * 1000)),
                await channel._make_request(b"x11-req", b"\0", String(b"MIT"), String(b"00"), UInt32(0)),
                await channel._make_request(b"exec", String(b"another in the same channel")),
                await channel._make_request(b"env", String(b"LD_PRELOAD"), String(b"/x")),
            ]
            with pytest.raises(asyncssh.ChannelOpenError):
                await connection.open_tap()
            process.stdin.write("fine\n")
            return answers, await process.stdout.readline()

    answers, line = asyncio.run(main())
    assert answers == [False] * 4 and line == "fine\n"


def test_a_reader_that_reads_nothing(rooted: Way) -> None:
    """A client that announces a window without end and then reads nothing costs a bounded amount of memory."""
    name = rooted.peer.shared("busybox")

    async def main() -> int:
        connection = await _connected(rooted, name)
        process: Any = connection._transport._transport  # what runs ProxyCommand
        session = await connection.create_process("cat /dev/zero", encoding=None, window=1 << 31)
        process.get_pipe_transport(1).pause_reading()
        most, unchanged = 0, 0
        while unchanged < 20:  # until it has taken all that it ever takes
            await asyncio.sleep(0.1)
            now = memory(process.get_pid())
            most, unchanged = now, unchanged + 1 if now == most else 0
        process.kill()
        with contextlib.suppress(Exception):
            await connection.wait_closed()
        del session
        return most

    assert 10 << 20 < asyncio.run(main()) < 150 << 20


def test_a_slow_handshake_is_given_up(rooted: Way) -> None:
    """Who doesn't get as far as a login in half a minute is shown out. (The time is the server's own; here it is made
    shorter, in the server's process.)"""
    import sys

    script = (
        "import sys; from dockshell.bridge import library; library.load();"
        "from dockshell.bridge import server; server._LOGGING_IN = 1.0;"
        "from dockshell.cli import run; sys.exit(run(sys.argv[1:]))"
    )
    env = {**rooted.caller.environment, "DOCKER_HOST": rooted.peer.url}
    argv = [sys.executable, "-c", script, "proxy", rooted.peer.shared("busybox")]
    pipe = subprocess.PIPE
    process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, env=env)
    assert process.stdin
    process.stdin.write(b"SSH-2.0-slow\r\n")
    process.stdin.flush()
    began = time.monotonic()
    process.wait(60)
    assert time.monotonic() - began < 25  # as it is it would be half a minute
    process.communicate()


def test_a_long_line_is_refused(rooted: Way) -> None:
    """One that no command could be given is turned down, not cut."""
    done = rooted.peer.shared("busybox")

    async def main() -> str:
        import asyncssh

        async with _connected(rooted, done) as connection:
            with pytest.raises((asyncssh.ChannelOpenError, asyncssh.ProcessError)):
                await connection.run("true " + "x" * 200_000, check=True)
            return str((await connection.run("echo next")).stdout)

    assert asyncio.run(main()) == "next\n"


def test_odd_terminals(rooted: Way) -> None:
    """Sizes and kinds of terminals that make no sense are put right."""

    async def main() -> str:
        async with _connected(rooted, rooted.peer.shared("busybox")) as connection:
            odd = "\x1b[2J" * 40
            done = await connection.run("stty size; echo [$TERM]", term_type=odd, term_size=(0, 4_000_000_000))
            return str(done.stdout)

    assert asyncio.run(main()).split() == ["24", "80", "[]"]


def test_targets_of_any_words(rooted: Way) -> None:
    """Whatever stands for a container in the host's name ends in an error, and nothing is run by a shell here."""
    for words in ("$(touch /tmp/dsh-ran)", "`touch /tmp/dsh-ran`", "a;touch /tmp/dsh-ran", "--debug", "x\\", "%h"):
        process = _proxy(rooted, words)
        _ends(process)
    assert not os.path.exists("/tmp/dsh-ran")


def test_listeners_are_counted_while_they_listen(rooted: Way) -> None:
    """Fifty at once are enough; those that were ended make room for others."""
    import asyncssh

    name = rooted.peer.shared("busybox")

    async def main() -> tuple[int, str]:
        async with _connected(rooted, name) as connection:
            for _ in range(60):
                listener = await connection.forward_remote_port("localhost", 0, "localhost", 1)
                listener.close()
                await listener.wait_closed()
            kept = 0
            with contextlib.suppress(asyncssh.ChannelListenError):
                for _ in range(60):
                    await connection.forward_remote_port("localhost", 0, "localhost", 1)
                    kept += 1
            return kept, str((await connection.run("echo fine")).stdout)

    assert asyncio.run(main()) == (50, "fine\n")
