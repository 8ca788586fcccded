"""The keys we log in with: where they come from, and what is said about one that can't be used."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockshell.errors import UsageError
from dockshell.ssh import keys
from tests.world import World

pytestmark = pytest.mark.packages


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()


def _generate(path: Path, *options: str) -> bytes:
    """A key made by the real ssh-keygen → its public blob, as the .pub beside it says."""
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", path, *options], check=True, stdin=subprocess.DEVNULL)
    parsed = Path(f"{path}.pub").read_bytes()
    import base64

    return base64.b64decode(parsed.split()[1])


def test_the_insecure_key_is_the_one_that_everybody_has() -> None:
    """The built-in key has the fingerprint that baseimage-docker's has."""
    assert keys.fingerprint(keys.INSECURE_BLOB) == "SHA256:mNz9adiNUt9xnouQa1sVz3M2zmUV/nTEjUOucMNM9l4"


def test_the_insecure_key_signs() -> None:
    """What is derived from its primes is a working private key whose public half is the blob."""
    (key,) = keys.candidates()
    loaded = key.load()
    assert loaded.asbytes() == key.blob == keys.INSECURE_BLOB
    signature = loaded.sign_ssh_data(b"text", "rsa-sha2-256")
    signature.rewind()
    assert loaded.verify_ssh_sig(b"text", signature)


@pytest.mark.parametrize(
    "options",
    [
        ("-t", "ed25519"),
        ("-t", "ecdsa"),
        ("-t", "ecdsa", "-b", "521"),
        ("-t", "rsa", "-b", "2048"),
        ("-t", "rsa", "-b", "2048", "-m", "PEM"),
        ("-t", "rsa", "-b", "2048", "-m", "PKCS8"),
        ("-t", "ecdsa", "-m", "PEM"),
    ],
)
def test_any_private_key_file_is_taken(options: tuple[str, ...], tmp_path: Path) -> None:
    """Every kind and format that ssh-keygen writes is loaded, and comes first."""
    blob = _generate(tmp_path / "key", *options)
    first = next(keys.candidates(str(tmp_path / "key")))
    assert first.blob == blob
    assert first.load().asbytes() == blob


def test_a_key_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A missing file is one sentence with its name, escape sequences made harmless."""
    with pytest.raises(UsageError, match=r"no\\x1bfile can't be read"):
        keys.from_file(str(tmp_path / "no\x1bfile"))


def test_a_directory_is_no_key(tmp_path: Path) -> None:
    """What can be opened but not read is not readable either."""
    with pytest.raises(UsageError, match="can't be read"):
        keys.from_file(str(tmp_path))


@pytest.mark.parametrize("text", [b"", b"hello", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", os.urandom(500)])
def test_what_is_no_key_is_said_to_be_none(text: bytes, tmp_path: Path) -> None:
    """Any other content gets the remedy, not a traceback."""
    (tmp_path / "key").write_bytes(text)
    with pytest.raises(UsageError, match="ssh-keygen"):
        keys.from_file(str(tmp_path / "key"))


def test_the_public_half_is_told_apart(tmp_path: Path) -> None:
    """A person who gives the .pub is told so."""
    _generate(tmp_path / "key", "-t", "ed25519")
    with pytest.raises(UsageError, match="is a public key"):
        keys.from_file(str(tmp_path / "key.pub"))


@pytest.fixture
def agent(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A real ssh-agent, empty."""
    path = str(tmp_path / "agent")
    process = subprocess.Popen([world.need_program("ssh-agent"), "-D", "-a", path], stdout=subprocess.DEVNULL)
    while not os.path.exists(path):
        assert process.poll() is None
    monkeypatch.setenv("SSH_AUTH_SOCK", path)
    yield
    process.terminate()
    process.wait()


@pytest.mark.parametrize("form", ["RFC4716", "PEM"])
def test_an_encrypted_key_is_used_through_the_agent(agent: None, form: str, tmp_path: Path) -> None:
    """Without the agent it says what to do; with it the agent's is taken. A passphrase is never asked for."""
    key = tmp_path / "key"
    blob = _generate(key, "-t", "rsa", "-m", form)
    subprocess.run(["ssh-add", "-q", key], check=True)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-m", form, "-f", key], check=True)
    found = keys.from_file(str(key))
    assert found.blob == blob
    assert found.origin.startswith("the agent's")
    subprocess.run(["ssh-add", "-q", "-D"], check=True)
    with pytest.raises(UsageError, match="encrypted and no agent holds it: add it with `ssh-add"):
        keys.from_file(str(key))


def test_the_keys_come_in_their_order(agent: None, tmp_path: Path) -> None:
    """The file from --key, the agent's, the home directory's, the insecure one."""
    blobs = [_generate(tmp_path / name, "-t", "ed25519") for name in ("file", "held")]
    subprocess.run(["ssh-add", "-q", tmp_path / "held"], check=True)
    blobs.append(_generate(tmp_path / "home/.baseimage_docker_insecure_key", "-t", "ed25519"))
    assert [key.blob for key in keys.candidates(str(tmp_path / "file"))] == [*blobs, keys.INSECURE_BLOB]


def test_the_insecure_key_in_the_home_directory_counts_once(tmp_path: Path) -> None:
    """The file that people have there is the constant, and is not tried twice."""
    from cryptography.hazmat.primitives import serialization as forms

    (key,) = keys.candidates()
    private = key.load().key  # type: ignore[attr-defined]
    for form in (forms.PrivateFormat.TraditionalOpenSSL, forms.PrivateFormat.OpenSSH):
        text = private.private_bytes(forms.Encoding.PEM, form, forms.NoEncryption())
        (tmp_path / "home/.baseimage_docker_insecure_key").write_bytes(text)
        assert [each.blob for each in keys.candidates()] == [keys.INSECURE_BLOB]


def test_only_a_key_that_stands_there_is_chosen(tmp_path: Path) -> None:
    """What `auto` logs in with: the file's where it is allowed, else the insecure one, else none."""
    blob = _generate(tmp_path / "key", "-t", "ed25519")
    file = str(tmp_path / "key")
    for allowed, expected in (
        ({blob, keys.INSECURE_BLOB}, blob),
        ({keys.INSECURE_BLOB}, keys.INSECURE_BLOB),
        (set(), None),
        ({b"another"}, None),
    ):
        chosen = keys.standing(file, allowed)
        assert (chosen and chosen.blob) == expected
