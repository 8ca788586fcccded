"""A Plan → the Dockerfile. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dockshell.image.family import Base
    from dockshell.image.plan import Plan

__all__ = ["ENVIRONMENT", "MISSING", "dockerfile", "in_files", "parts"]

ENVIRONMENT = "environment"  # the context's directory of variables that a Dockerfile can't spell
MISSING = (
    "without Python there is no my_init and no setuser: startup files, shutdown files and "
    "/etc/container_environment mean nothing in this image"
)
# What all must find, whoever adds to it later.
_DIRECTORIES = "/etc/my_init.d /etc/my_init.pre_shutdown.d /etc/my_init.post_shutdown.d /etc/service"
_FILES = "/etc/container_environment.sh /etc/container_environment.json"


def parts(plan: Plan) -> list[str]:
    """The names of the parts that are asked for: of the directories that are copied, and keys of Family.packages."""
    chosen = {"init": plan.python, "bare": not plan.python, "ssh": plan.ssh, "cron": plan.cron, "syslog": plan.syslog}
    return [name for name, wanted in chosen.items() if wanted]


def in_files(plan: Plan) -> list[tuple[str, str]]:
    """The variables that a Dockerfile can't spell: those with a newline or another control
    character, or with bytes that aren't UTF-8. my_init alone reads them."""
    return [(name, value) for name, value in plan.variables if not _spellable(value)]


def dockerfile(plan: Plan, base: Base, command: str) -> str:
    """The text. command: what made it, for who reads it later."""
    return "\n".join(_lines(plan, base, command)) + "\n"


def _lines(plan: Plan, base: Base, command: str) -> Iterator[str]:
    family = base.family
    yield f"# Made by `{command}`; `docker build -t NAME .` here makes the image."
    if not plan.python:
        yield f"# {MISSING[0].upper()}{MISSING[1:]}."
    yield f"FROM {plan.base}"
    yield ""
    if base.user:
        yield "USER root"
    yield "# Else Debian's runit makes it a link to a directory in which packages have services of their own."
    yield "RUN mkdir -p /etc/service"
    packages = " ".join(filter(None, (family.packages[part] for part in parts(plan))))
    yield f"RUN {family.install.format(packages)}"
    yield f"COPY {' '.join(f'{part}/' for part in parts(plan))} /"
    if plan.python:
        yield f"RUN (getent group docker_env >/dev/null || {family.group}) \\"
        yield f"    && mkdir -p {_DIRECTORIES} /etc/container_environment \\"
        yield "    && chmod 0700 /etc/container_environment \\"
        yield f"    && touch {_FILES} \\"
        yield f"    && chgrp docker_env {_FILES} \\"
        yield f"    && chmod 0640 {_FILES}"
    if plan.services or plan.startup or plan.variables:
        yield ""
    for name, value in plan.variables:
        if _spellable(value):
            yield f'ENV {name}="{_quoted(value)}"'
    if in_files(plan):
        yield f"COPY {ENVIRONMENT}/ /etc/container_environment/"
    if plan.startup:
        yield "COPY startup/ /etc/my_init.d/"
    if plan.services:
        yield "COPY services/ /etc/service/"
    yield ""
    if base.entrypoint:
        yield "ENTRYPOINT []"
    yield 'CMD ["/sbin/my_init"]' if plan.python else 'CMD ["tini", "-g", "-s", "--", "/sbin/run_services"]'


def _spellable(value: str) -> bool:
    return value.isprintable()


def _quoted(value: str) -> str:
    """Inside double quotes, https://docs.docker.com/reference/dockerfile/#escape and #environment-replacement."""
    return "".join("\\" + c if c in '"\\$' else c for c in value)
