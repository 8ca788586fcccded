"""From a Target to one container, over engines that only pretend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dockshell.errors import Ambiguous, EngineError, NotFound, NotRunning
from dockshell.model import Container, Target
from dockshell.resolve import Place, newer_but_not_running, resolve, resolve_running
from dockshell.target import LATEST, Project, elsewhere, fits, parse
from dockshell.voice import Voice
from tests.impostor import Impostor, listed

_COMPOSE = "com.docker.compose."


class _Engine:
    """An engine with these containers, or one that fails with these words."""

    api = None

    def __init__(self, *containers: dict[str, Any], name: str = "docker", failure: str = "") -> None:
        self.name = name
        self.address = f"unix:///{name}.sock"
        self.failure = failure
        self.asked = 0
        owner: Any = self
        self.containers = [Container(engine=owner, **{"id": each["name"] * 20, **each}) for each in containers]

    def find(self, target: Target, project: Callable[[], Project] = elsewhere) -> list[Container]:
        self.asked += 1
        if self.failure:
            raise EngineError(self.failure)
        if target.kind == "latest":
            return [each for each in self.containers if each.state == "running"][:1]
        return fits(target, self.containers, project())

    def all(self) -> list[Container]:
        return self.containers


class _Heard(Voice):
    """Keeps what it would say."""

    def __init__(self, loud: bool) -> None:
        super().__init__(loud)
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


class _Engines(Place):
    def __init__(self, *engines: _Engine, look: Callable[[], Project] = elsewhere) -> None:
        super().__init__(look=look)
        self.known = engines

    def engines(self, target: Target) -> Iterator[Any]:
        return iter([each for each in self.known if target.engine in ("", each.name)])


def _named(*names: str, **facts: Any) -> list[dict[str, Any]]:
    return [{"name": name, **facts} for name in names]


def _service(service: str, *numbers: int, state: str = "running") -> list[dict[str, Any]]:
    project, _, name = service.partition("/")
    return [
        {
            "name": f"{project}-{name}-{number}",
            "state": state,
            "labels": {
                _COMPOSE + "project": project,
                _COMPOSE + "service": name,
                _COMPOSE + "container-number": str(number),
            },
        }
        for number in numbers
    ]


def _found(words: str, *engines: _Engine) -> str:
    return resolve(parse(words), _Engines(*engines)).name


def test_the_one_that_fits_is_found() -> None:
    """A name, its beginning, a service, a project's service and a replica all lead to their container."""
    engine = _Engine(*_named("web", "database"), *_service("shop/cart", 1), *_service("blog/page", 1, 2))
    assert _found("web", engine) == "web"
    assert _found("data", engine) == "database"
    assert _found("cart", engine) == "shop-cart-1"
    assert _found("shop/cart", engine) == "shop-cart-1"
    assert _found("page:2", engine) == "blog-page-2"
    assert _found("@latest", engine) == "web"


def test_two_of_one_rank_are_an_error_that_names_both() -> None:
    """Nobody is entered by chance: both are named, with the ids that tell them apart."""
    with pytest.raises(Ambiguous) as caught:
        _found("we", _Engine(*_named("web", "west", "api")))
    assert "web (webwebwebweb)" in str(caught.value)
    assert "west (westwestwest)" in str(caught.value)
    assert "api" not in str(caught.value)


def test_an_error_names_no_endless_list() -> None:
    """Of many that fit, some are named, and the number of the others."""
    with pytest.raises(Ambiguous, match="and 15 more"):
        _found("web", _Engine(*_named(*(f"web-{number}" for number in range(20)))))


def test_two_services_of_one_name_need_their_project() -> None:
    """`web` in two projects is ambiguous, `shop/web` is not."""
    engine = _Engine(*_service("shop/web", 1), *_service("blog/web", 1))
    with pytest.raises(Ambiguous, match=r"shop-web-1.*blog-web-1"):
        _found("web", engine)
    assert _found("shop/web", engine) == "shop-web-1"


def test_a_better_rank_ends_the_doubt() -> None:
    """An exact name is never ambiguous with longer ones."""
    assert _found("web", _Engine(*_named("web-1", "web", "web-2"))) == "web"


def test_nothing_found_names_the_nearest() -> None:
    """A slip of the fingers is recognised."""
    with pytest.raises(NotFound, match=r"no container fits databse .*did you mean database \(") as caught:
        _found("databse", _Engine(*_named("database", "zzz")))
    assert "zzz" not in str(caught.value)


def test_nothing_near_names_what_runs() -> None:
    """Where nothing is near, what does run is named, and where was looked."""
    with pytest.raises(NotFound, match=r"docker at unix:///docker.sock.*running are web \(") as caught:
        _found("qqqqq", _Engine(*_named("web"), *_named("old", state="exited")))
    assert "old" not in str(caught.value)
    with pytest.raises(NotFound, match="none is running"):
        _found("qqqqq", _Engine())


def test_no_container_at_all() -> None:
    """Without TARGET and without a running container, the error says so."""
    with pytest.raises(NotFound, match="no container is running"):
        resolve(LATEST, _Engines(_Engine(*_named("old", state="exited"))))


def test_hostile_names_are_spelled_out() -> None:
    """An error never carries a container's control characters to the terminal."""
    with pytest.raises(NotFound) as caught:
        _found("web", _Engine(*_named("\x1b[31mx\n")))
    assert str(caught.value).isprintable()


def test_stopped_ones_count_only_if_none_runs() -> None:
    """The replica that runs is meant, not the one that ended; where all ended, the error says that it isn't running."""
    both = _Engine(*_service("shop/web", 1, state="exited"), *_service("shop/web", 2))
    assert _found("web", both) == "shop-web-2"
    with pytest.raises(NotRunning, match="shop-web-1 is not running"):
        resolve_running(parse("web"), _Engines(_Engine(*_service("shop/web", 1, state="exited"))))


def test_with_stopped_it_is_the_other_way_round() -> None:
    """One that ended goes before one that runs; an exact name or an id is what it says, and the newest is the one that
    ended last, or was made and never began."""
    both = _Engine(*_service("shop/web", 1, state="exited"), *_service("shop/web", 2))
    old = {"name": "old", "state": "exited", "created": 1.0, "ended": 50.0}
    new = {"name": "new", "state": "exited", "created": 20.0, "ended": 30.0}
    unborn = {"name": "unborn", "state": "created", "created": 40.0}
    ended = _Engine(*_named("web", "webs", "api", created=60.0), *_named("web-old", state="dead"), new, old, unborn)

    def found(words: str, *engines: _Engine) -> str:
        return resolve(parse(words), _Engines(*engines), stopped=True).name

    assert found("web", both) == "shop-web-1"
    assert found("web:2", both) == "shop-web-2"
    assert found("web", ended) == "web"
    assert found("web-", ended) == "web-old"
    assert found("we", _Engine({"name": "webs", "id": "f" * 64}, *_named("web-old", state="dead"))) == "web-old"
    assert found("ap", ended) == "api"
    assert found("@latest", ended) == "old"
    assert found("@latest", _Engine(unborn, new)) == "unborn"
    with pytest.raises(Ambiguous, match=r"old \(.*old-2 \("):
        found("ol", _Engine(*_named("old", "old-2", state="exited"), {"name": "older", "id": "f" * 64}))
    with pytest.raises(NotFound, match="no container is stopped"):
        found("@latest", _Engine(*_named("web")))
    with pytest.raises(NotFound, match=r"stopped are new \("):
        found("qqqqq", _Engine(*_named("web"), new))


@pytest.mark.parametrize(
    ("state", "remedy"),
    [
        ("exited", "`podman start web`"),
        ("exited", "`dockshell shell --stopped web`"),
        ("restarting", "`dockshell shell --stopped web`"),
        ("paused", "--unpause"),
        ("created", "`podman start web`"),
        ("paused", "`podman unpause web`"),
        ("restarting", "`podman logs web`"),
    ],
)
def test_what_does_not_run_comes_with_its_remedy(state: str, remedy: str) -> None:
    """Each state that can't be entered names the command, of the right engine, that helps."""
    with pytest.raises(NotRunning, match=remedy):
        resolve_running(parse("web"), _Engines(_Engine(*_named("web", state=state), name="podman")))


def test_engines_are_asked_in_turn() -> None:
    """The first engine in which it is found has it; those behind it aren't asked."""
    first, second, third = _Engine(*_named("a")), _Engine(*_named("b")), _Engine(*_named("b"))
    assert resolve(parse("b"), _Engines(first, second, third)) is second.containers[0]
    assert (first.asked, second.asked, third.asked) == (1, 1, 0)


def test_the_best_rank_of_all_engines_decides() -> None:
    """That another engine is asked first is no reason to take what fits less; of one rank, both are named. What has the
    name exactly ends the search."""
    beginning, id = _Engine(*_named("cafeteria", id="9" * 64)), _Engine({"name": "x", "id": "cafe" * 16})
    service, named = _Engine(*_service("shop/cafe", 1), name="podman"), _Engine(*_named("cafe"))
    assert _found("cafe", beginning, id) == "x"
    assert _found("cafe", id, beginning) == "x"
    assert _found("cafe", id, service, beginning) == "shop-cafe-1"
    assert _found("cafe", service, id, named) == "cafe"
    with pytest.raises(Ambiguous, match="podman:// or docker:// in front"):
        _found("cafe", service, _Engine(*_service("blog/cafe", 1)))


def test_two_sockets_of_one_engine_are_no_doubt() -> None:
    """Podman's service often listens at Docker's place, too: what both list is one container."""
    assert _found("cart", *(_Engine(*_service("shop/cart", 1)) for _ in range(2))) == "shop-cart-1"


def test_the_project_here_goes_before_another_engines() -> None:
    """By its service, in whatever engine it is; the project is looked for once."""
    looked = []

    def look() -> Project:
        looked.append(1)
        return Project(name="shop")

    both = _Engine(*_service("blog/cart", 1), *_named("web")), _Engine(*_service("shop/cart", 1), name="podman")
    assert resolve(parse("cart"), _Engines(*both, look=look)).name == "shop-cart-1"
    assert looked == [1]


def test_of_a_named_project_nothing_else_is_taken() -> None:
    """With -p or -f a TARGET is a service; where the project has none such, its services are named."""
    engine = _Engine(*_named("cart", "cart-1"), *_service("blog/cart", 1), *_service("shop/page", 1))

    def look() -> Project:
        return Project(name="shop", only=True)

    with pytest.raises(NotFound, match=r"no container belongs to the service cart .*: its services are page"):
        resolve(Target("service", "cart"), _Engines(engine, look=look))
    assert resolve(Target("service", "page"), _Engines(engine, look=look)).name == "shop-page-1"


def test_a_replica_that_is_not_there() -> None:
    """Those that there are, are named."""
    engine = _Engine(*_service("shop/cart", 10), *_service("shop/cart", 9), *_service("shop/page", 3))
    with pytest.raises(NotFound, match=r"no container fits cart:3 .*: the service has the replicas 9, 10$"):
        resolve(parse("cart:3"), _Engines(engine))
    with pytest.raises(NotFound, match=r"the service has only the replica 3$"):
        resolve(parse("shop/page:2"), _Engines(engine))


def test_a_pinned_engine_is_the_only_one_asked() -> None:
    """`podman://web` is never looked for in Docker."""
    docker, podman = _Engine(*_named("web")), _Engine(*_named("web"), name="podman")
    assert resolve(parse("podman://web"), _Engines(docker, podman)).engine is podman
    assert docker.asked == 0


def test_an_engine_that_fails_does_not_hide_the_others() -> None:
    """The failure is told (-v shows it), and the next engine asked; only when none answers is it the error."""
    voice = _Heard(loud=True)
    broken, good = _Engine(failure="broken: mend it"), _Engine(*_named("web"))
    assert resolve(parse("web"), _Engines(broken, good), voice).name == "web"
    assert voice.lines[:1] == ["broken: mend it"]
    with pytest.raises(EngineError, match="broken: mend it"):
        resolve(parse("web"), _Engines(broken))


@pytest.mark.parametrize(("state", "newer"), [("exited", "late"), ("created", "late"), ("running", None)])
def test_a_newer_one_that_does_not_run_is_noticed(state: str, newer: str | None) -> None:
    """The newest container of all, if it isn't the newest that runs, is known, so that a line can say so."""
    rows = [listed("late", state=state, age=10), listed("early", age=60)]
    with Impostor(rows).serving() as engine:
        place = Place(engine.url)
        early = next(each for each in next(iter(place.engines(LATEST))).all() if each.name == "early")
        found = newer_but_not_running(early)
    assert (found.name if found else None) == newer
