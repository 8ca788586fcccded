"""`exec --login`: a command with what a login knows, by each way in."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.world import Peer

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]

_WAYS = pytest.mark.parametrize("via", ["nsenter", "exec", "ssh"])


@_WAYS
@pytest.mark.parametrize("user", ["root", "app"])
def test_a_login_s_files_and_directory(docker: Peer, dockshell: Run, via: str, user: str) -> None:
    """/etc/container_environment is honoured, the profile is read, and the command begins in HOME as that user; without
    --login none of that is so."""
    web = docker.baseimage()
    docker.sh("exec", web, "sh", "-c", "mkdir -p /etc/profile.d; echo export BY_PROFILE=read >/etc/profile.d/x.sh")
    # zsh, app's shell, reads files of its own.
    docker.sh("exec", web, "sh", "-c", "echo export BY_PROFILE=read >>/home/app/.zprofile")
    if (via, user) == ("ssh", "app"):
        docker.sh("exec", web, "sh", "-c", "cp -r /root/.ssh /home/app/.ssh && chown -R app: /home/app/.ssh")
    script = 'echo "$FROM_BASEIMAGE,$BY_PROFILE,$PWD,$(id -un)"'
    done = dockshell("exec", "--via", via, "-u", user, "--login", web, "sh", "-c", script, engine=docker)
    home = "/root" if user == "root" else "/home/app"
    assert (done.stdout.decode(), done.returncode) == (f"kept in a file,read,{home},{user}\n", 0), done.stderr
    done = dockshell("exec", "--via", via, "-u", user, web, "sh", "-c", script, engine=docker)
    assert done.stdout.decode().startswith(",,/,"), done.stderr


@_WAYS
def test_words_and_codes_survive_the_shell(docker: Peer, dockshell: Run, via: str) -> None:
    """Each word arrives as it is, whatever is in it, and the exit code is the command's; 127 where it isn't there."""
    web = docker.shared("baseimage")
    words = ("a b", "", "$HOME", "it's", '"', "*", "new\nline", b"\xff\xfe")
    done = dockshell("exec", "--via", via, "--login", web, "printf", "<%s>", *words, engine=docker)
    assert done.stdout == b"<a b><><$HOME><it's><\"><*><new\nline><\xff\xfe>", done.stderr
    assert dockshell("exec", "--via", via, "--login", web, "sh", "-c", "exit 7", engine=docker).returncode == 7
    assert dockshell("exec", "--via", via, "--login", web, "nope", engine=docker).returncode == 127
    done = dockshell("exec", "--via", via, "--login", web, "sh", "-c", "kill -9 $$", engine=docker)
    assert done.returncode == 137


@pytest.mark.parametrize("via", ["nsenter", "exec"])
def test_a_plain_sh_reads_its_profile(engine: Peer, dockshell: Run, via: str) -> None:
    """busybox's sh takes /etc/profile and ~/.profile; another language's shell gives way to one that is there."""
    web = engine.run("busybox")
    engine.sh("exec", web, "sh", "-c", "echo export A=profile >/etc/profile; echo export B=own >/root/.profile")
    told = ("exec", "--via", via, "--login", web, "sh", "-c", "echo $A,$B,$PWD")
    assert dockshell(*told, engine=engine).stdout == b"profile,own,/root\n"
    engine.sh("exec", web, "sh", "-c", "ln /bin/busybox /bin/fish; sed -i 's,root:/bin/sh,root:/bin/fish,' /etc/passwd")
    assert dockshell(*told, engine=engine).stdout == b"profile,own,/root\n"
