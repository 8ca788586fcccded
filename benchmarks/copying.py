"""`dockshell cp` beside `docker cp`: one file of 500 MB, and 10,000 small ones, each way; as root, and as somebody
whom the engine's socket lets in.

The small ones go under a new name each time, and what was copied is removed at the end: a file system without a journal
searches past each file that was deleted just now for a place to make one (ext4, recently_deleted())."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

from benchmarks.stage import Stage
from benchmarks.timing import Line

__all__ = ["SHAPES", "copies"]

SHAPES = ("500mb-in", "500mb-out", "10k-in", "10k-out")
_LARGE = 500_000_000
_FILES, _DIRECTORIES = 10_000, 100


def copies(shape: str, *, by_root: bool) -> Callable[[Stage], tuple[Line, Line]]:
    """shape: of SHAPES."""

    def lines(stage: Stage) -> tuple[Line, Line]:
        if by_root:
            stage.world.need_root()
        become = () if by_root else stage.person.become
        ours = stage.ours("dockshell") if by_root else stage.person.dockshell
        env = {} if by_root else stage.person.env
        kind, _, direction = shape.partition("-")
        here, there = _set_up(stage, kind, "" if by_root else stage.person.env["HOME"])
        fresh = "-$$" if kind == "10k" else ""
        inward = f"{here} {stage.web}:/{kind}-%s{fresh}"
        outward = f"{stage.web}:{there} {here}-%s{fresh}"
        words = inward if direction == "in" else outward
        shown = f"{'large' if kind == '500mb' else '10,000 files'}, {direction}"
        many = "-r " if kind == "10k" else ""
        shell = stage.program("sh")

        def line(program: str, spoken: str, option: str) -> Line:
            typed = f"exec {' '.join((*become, program))} cp {option}{words % spoken}"
            return Line((shell, "-c", typed), f"{spoken} cp {option}{shown}", env=env)

        return line(ours, "dockshell", many), line(stage.program("docker"), "docker", "")

    return lines


def _set_up(stage: Stage, kind: str, home: str) -> tuple[str, str]:
    """What is copied: its path here, which somebody of that home owns, and in the container."""
    here = os.path.join(home or stage.env["HOME"], f"copy-{kind}")
    there = f"/copy-{kind}"
    if not os.path.exists(here):
        if kind == "500mb":
            with open(here, "wb") as file:
                for _ in range(_LARGE // 1_000_000):
                    file.write(os.urandom(1_000_000))
        else:
            for number in range(_FILES):
                directory = os.path.join(here, str(number % _DIRECTORIES))
                os.makedirs(directory, exist_ok=True)
                with open(os.path.join(directory, str(number)), "wb") as file:
                    file.write(os.urandom(1000))
        if home:
            owner = os.stat(home)
            subprocess.run(["chown", "-R", f"{owner.st_uid}:{owner.st_gid}", here], check=True)
        stage.docker.sh("cp", here, f"{stage.web}:{there}", timeout=120)
    return here, there
