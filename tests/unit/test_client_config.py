"""What a person configured for Docker's client goes with each request of ours: the API's version, header fields."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dockshell.engines.client_config import setting
from dockshell.engines.local import LocalApi
from dockshell.engines.sdk import SdkApi
from dockshell.errors import EngineError
from tests.impostor import Impostor, listed
from tests.world import World


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[object], Path]:
    """configure(content): config.json holds that, as text or as what becomes JSON → its path."""
    for name in [name for name in os.environ if name.startswith("DOCKER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    def write(content: object) -> Path:
        path = tmp_path / "config.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def _sent(kind: str) -> list[tuple[str, dict[str, str]]]:
    """The requests of a listing by that Api: path and headers, the names in lower case."""
    with Impostor([listed("web")]).serving() as engine:
        if kind == "local":
            LocalApi(engine.url.removeprefix("unix://")).containers()
        else:
            api = SdkApi(engine.url)
            try:
                api.containers()
            finally:
                api.close()
        headers = [{name.lower(): value for name, value in each.items()} for each in engine.headers]
        return list(zip(engine.requests, headers, strict=True))


@pytest.mark.parametrize("kind", ["local", "sdk"])
def test_headers_of_config_json_are_sent(configure: Callable[[object], Path], kind: str) -> None:
    """Each request has them, those that belong to HTTP itself left out."""
    configure({"httpheaders": {"X-Token": " secret, too", "Host": "evil", "Content-Length": "9"}, "auths": {}})
    for _, headers in _sent(kind):
        assert headers["x-token"] == "secret, too" and headers["host"].startswith("docker")
        assert headers.get("content-length", "0") == "0"


@pytest.mark.parametrize("kind", ["local", "sdk"])
def test_the_variable_counts_in_place_of_the_file(
    configure: Callable[[object], Path], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """DOCKER_CUSTOM_HEADERS is CSV; with it nothing of HttpHeaders is sent."""
    configure({"HttpHeaders": {"X-File": "1"}})
    monkeypatch.setenv("DOCKER_CUSTOM_HEADERS", 'one=a,"two=b,c", three =d=e,one=f')
    for _, headers in _sent(kind):
        assert (headers["one"], headers["two"], headers["three"]) == ("f", "b,c", "d=e") and "x-file" not in headers


@pytest.mark.parametrize("kind", ["local", "sdk"])
def test_the_version_begins_each_path(
    configure: Callable[[object], Path], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """DOCKER_API_VERSION pins it; nothing is negotiated then."""
    monkeypatch.setenv("DOCKER_API_VERSION", "1.41")
    paths = [path for path, _ in _sent(kind)]
    assert paths and all(path.startswith("/v1.41/containers/json") for path in paths)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("DOCKER_API_VERSION", "latest", "'latest', which is not a version such as 1.41"),
        ("DOCKER_API_VERSION", "1.41/../..", "not a version"),
        ("DOCKER_API_VERSION", "1.4\r\n1", "not a version"),
        ("DOCKER_CUSTOM_HEADERS", "token", "'token', which is not NAME=VALUE"),
        ("DOCKER_CUSTOM_HEADERS", "=x", "not the name of a header"),
        ("DOCKER_CUSTOM_HEADERS", "a b=x", "not the name of a header"),
        ("DOCKER_CUSTOM_HEADERS", '"x', "not NAME=VALUE"),
        ("DOCKER_CUSTOM_HEADERS", '"x=a\r\nHost: evil"', "control character"),
        ("DOCKER_CUSTOM_HEADERS", '"x=a\nb"', "control character"),
        ("DOCKER_CUSTOM_HEADERS", '"x\r\ny=a"', "not the name of a header"),
    ],
)
@pytest.mark.parametrize("kind", ["local", "sdk"])
def test_what_would_break_a_request_is_refused(
    configure: Callable[[object], Path],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    variable: str,
    value: str,
    said: str,
) -> None:
    """A sentence that names the variable, and no request."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(EngineError) as failure:
        _sent(kind)
    assert variable in str(failure.value) and said in str(failure.value) and "\n" not in str(failure.value)


@pytest.mark.parametrize("table", [{"x": "a\nb"}, {"x\n": "a"}, {"": "a"}, {"x": 1}, ["x"], "x"])
def test_a_file_with_headers_that_are_none_is_refused(configure: Callable[[object], Path], table: object) -> None:
    """The same for config.json, whatever is in it."""
    path = configure({"HttpHeaders": table})
    with pytest.raises(EngineError) as failure:
        LocalApi("/engine.sock")
    assert f"HttpHeaders in {path}" in str(failure.value)


def test_a_file_that_is_no_json_matters_where_it_is_asked(configure: Callable[[object], Path]) -> None:
    """What doesn't so much as name a setting isn't decoded; what does is, and is refused."""
    configure('{"auths": ')
    assert setting("HttpHeaders") is None
    path = configure('{"HttpHeaders": ')
    with pytest.raises(EngineError, match="not JSON"):
        setting("HttpHeaders")
    configure(["HttpHeaders"])
    assert setting("HttpHeaders") is None
    path.unlink()
    assert setting("HttpHeaders") is None


def test_a_file_of_somebody_else_is_not_believed(configure: Callable[[object], Path], world: World) -> None:
    """A sudo that kept HOME: contract 22."""
    world.need_root()  # to give it away
    path = configure({"HttpHeaders": {"X-Token": "1"}})
    assert setting("HttpHeaders")
    os.chown(path, 65534, 65534)
    assert setting("HttpHeaders") is None
