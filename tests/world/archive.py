"""Image archives: what `docker load` and `podman load` both read, written without any engine, so that both get the
very same image.

Source: the image specification v1.2 of moby (manifest.json, a config, a tar per layer) and the OCI image
configuration."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from typing import IO, Any


class Layer:
    """A tar of files that belong to root unless said otherwise; the same calls make the same bytes."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._bytes, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115

    def directory(self, path: str, mode: int = 0o755, owner: tuple[int, int] = (0, 0)) -> None:
        self._add(path, tarfile.DIRTYPE, mode, owner)

    def file(self, path: str, data: bytes, mode: int = 0o644, owner: tuple[int, int] = (0, 0)) -> None:
        self._add(path, tarfile.REGTYPE, mode, owner, data)

    def link(self, path: str, to: str) -> None:
        self._add(path, tarfile.SYMTYPE, 0o777, (0, 0), link=to)

    def _add(
        self, path: str, kind: bytes, mode: int, owner: tuple[int, int], data: bytes = b"", link: str = ""
    ) -> None:
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.type, entry.mode, entry.size, entry.linkname = kind, mode, len(data), link
        entry.uid, entry.gid = owner
        self._tar.addfile(entry, io.BytesIO(data))

    def write(self, directory: str) -> str:
        """Closes the layer, writes it into the directory and returns the file's path."""
        self._tar.close()
        data = self._bytes.getvalue()
        path = os.path.join(directory, hashlib.sha256(data).hexdigest() + ".tar")
        with open(path, "wb") as file:
            file.write(data)
        return path


def write_image(out: IO[bytes], reference: str, config: dict[str, Any], layers: list[str]) -> None:
    """Writes an image of the layers (paths of tars, the lowest first) to `out` as one archive.

    config: the keys of an image's `config`: Env, Cmd, User, WorkingDir, Labels, ….
    """
    digests = [_sha256(layer) for layer in layers]
    machine = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
    image = {
        "architecture": machine.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "created": "2020-01-01T00:00:00Z",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
        "history": [{"created": "2020-01-01T00:00:00Z", "created_by": reference} for _ in layers],
    }
    image_bytes = json.dumps(image).encode()
    image_name = hashlib.sha256(image_bytes).hexdigest() + ".json"
    manifest = [
        {"Config": image_name, "RepoTags": [f"{reference}:latest"], "Layers": [f"{d}/layer.tar" for d in digests]}
    ]
    with tarfile.open(fileobj=out, mode="w|") as archive:
        _add_bytes(archive, image_name, image_bytes)
        for digest, layer in zip(digests, layers, strict=True):
            entry = tarfile.TarInfo(f"{digest}/layer.tar")
            entry.size = os.path.getsize(layer)
            with open(layer, "rb") as file:
                archive.addfile(entry, file)
        _add_bytes(archive, "manifest.json", json.dumps(manifest).encode())


def _add_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
