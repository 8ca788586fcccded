"""What Docker's client has on file about engines: contexts, the one that is chosen, and certificates.

The store: config.json names the current context; contexts/meta/SHA256-OF-NAME/meta.json holds a context's address, and
contexts/tls/SHA256-OF-NAME/docker/ its certificates (docker/cli, cli/context/store).
"""

from __future__ import annotations

import os

from dockshell.engines.json import decode
from dockshell.engines.where import Tls, configuration
from dockshell.errors import EngineError, printable
from dockshell.linux.trusted import foreign, passed_over

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["current", "endpoint", "names", "tls_of_environment", "tls_of_options"]


def current() -> str:
    """The context that `docker context use` chose; empty for none, for `default`, or where config.json is somebody
    else's (linux/trusted.py). Raises EngineError where there is no config.json, or it can't be read."""
    path = os.path.join(configuration(), "config.json")
    if foreign(path):
        return ""
    name = _json(path).get("currentContext") or ""
    if not isinstance(name, str):
        raise EngineError(
            f"currentContext in {printable(path)} is no name: mend it, or choose one with `docker context use`"
        )
    return "" if name == "default" else name


def endpoint(name: str, said: str) -> tuple[str, Tls | None]:
    """The address of that context's engine, empty where it leaves it to the defaults, and its TLS. said: who named the
    context.

    Raises EngineError where there is no such context, or it is broken, or somebody else's.
    """
    from hashlib import sha256

    key = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    path = os.path.join(configuration(), "contexts", "meta", key, "meta.json")
    if not os.path.exists(path):
        known = ", ".join(["default", *names()])
        raise EngineError(f"{said} names {printable(name)!r}, but there is no such context: choose one of {known}")
    try:
        facts = _json(path)["Endpoints"]["docker"]
        address, skip = facts.get("Host") or "", bool(facts.get("SkipTLSVerify"))
        if not isinstance(address, str):
            raise TypeError
    except (KeyError, TypeError, AttributeError):
        raise EngineError(
            f"context {printable(name)!r} says nothing of a Docker engine: mend it with `docker context update`"
        ) from None
    tls = _certificates(os.path.join(configuration(), "contexts", "tls", key, "docker"), verify=not skip)
    return address, tls if skip or tls != Tls() else None


def tls_of_environment() -> Tls | None:
    """TLS as DOCKER_TLS_VERIFY and DOCKER_CERT_PATH ask for it; DOCKER_TLS alone asks for it without verification. None
    where none does."""
    verify = bool(os.environ.get("DOCKER_TLS_VERIFY"))
    if not verify and not os.environ.get("DOCKER_TLS"):
        return None
    return _certificates(os.environ.get("DOCKER_CERT_PATH") or configuration(), verify=verify)


def tls_of_options(verify: bool | None, ca: str, cert: str, key: str) -> Tls:
    """TLS as --tls and the like ask for it: whether to verify, None for what DOCKER_TLS_VERIFY says; and the files,
    empty for those that DOCKER_CERT_PATH or Docker's configuration has."""
    if verify is None:
        verify = bool(os.environ.get("DOCKER_TLS_VERIFY"))
    usual = _certificates(os.environ.get("DOCKER_CERT_PATH") or configuration(), verify=verify)
    return Tls(ca or usual.ca, cert or usual.cert, key or usual.key, verify)


def _own(path: str) -> bool:
    """True. Raises EngineError for a file of somebody else's."""
    if foreign(path):
        raise EngineError(
            f"{printable(path)} belongs to user {passed_over[path]} and is not believed: "
            "chown it if it is to be, or name the engine with -H"
        )
    return True


def _certificates(folder: str, *, verify: bool) -> Tls:
    """Those of the three files that are there."""
    files = (os.path.join(folder, f"{name}.pem") for name in ("ca", "cert", "key"))
    ca, cert, key = (path if os.path.exists(path) and _own(path) else "" for path in files)
    return Tls(ca, cert, key, verify)


def names() -> list[str]:
    """The contexts on file. A broken one has no name to be chosen by."""
    meta = os.path.join(configuration(), "contexts", "meta")
    found = []
    for key in os.listdir(meta) if os.access(meta, os.R_OK | os.X_OK) and os.path.isdir(meta) else ():
        try:
            found.append(printable(str(_json(os.path.join(meta, key, "meta.json"))["Name"])))
        except (EngineError, KeyError):
            continue
    return sorted(found)


def _json(path: str) -> dict[str, Any]:
    _own(path)
    try:
        with open(path, "rb") as file:
            content = decode(file.read())
    except OSError as error:
        raise EngineError(
            f"{printable(path)} can't be read ({error.strerror}): mend it, or name the engine with -H"
        ) from None
    except ValueError as error:
        raise EngineError(f"{printable(path)} is not JSON ({error}): mend it, or name the engine with -H") from None
    if not isinstance(content, dict):
        raise EngineError(f"{printable(path)} holds no JSON object: mend it, or name the engine with -H")
    return content
