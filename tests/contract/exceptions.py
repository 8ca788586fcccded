"""The one table of what the contract promises and a cell doesn't keep, each with its reason.

Every entry is checked: it must name a test, and the test must fail there (xfail, strict)."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["EXCEPTIONS", "Exempt"]


class Exempt(NamedTuple):
    """line: of the contract; test: the name of the test, with [parameters] if it is about some alone; routes, engines:
    the cells, empty for all; below_api: only where the engine speaks an older version of Docker's API than that; sure:
    False for a race that is now and then won; run: False for what must not even be tried."""

    line: int
    test: str
    reason: str
    routes: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    below_api: tuple[int, int] | None = None
    sure: bool = True
    run: bool = True

    def covers(self, route: str, engine: str) -> bool:
        return (not self.routes or route in self.routes) and (not self.engines or engine in self.engines)


SSH, EXEC, TOOLBOX = ("ssh",), ("exec",), ("toolbox",)

EXCEPTIONS: tuple[Exempt, ...] = (
    *(
        Exempt(
            3,
            f"test_errors_are_one_line_on_stderr[{wrong}]",
            "that a program can't be started is found out, and said, by the shell that the sshd runs",
            SSH,
        )
        for wrong in ("missing", "unexecutable")
    ),
    Exempt(
        5,
        "test_a_loop_keeps_its_input",
        "neither an sshd nor an engine tells how much of its input a command has read: in a loop, -n gives it none",
        (*SSH, *EXEC),
    ),
    Exempt(
        6,
        "test_output_arrives_where_input_was_not_read",
        "Podman drops the connection, and what was written, of a command that ends with its input unread",
        EXEC,
        ("podman", "rootless-podman"),
        sure=False,
    ),
    Exempt(
        8,
        "test_size_is_right_at_the_start",
        "an engine takes the size of a terminal only once the command runs (ConsoleSize came with API 1.42)",
        EXEC,
        below_api=(1, 42),
        sure=False,
    ),
    Exempt(
        9,
        "test_ctrl_caret_gets_through_at_once",
        "an engine always holds back one key, and Ctrl-^ is the one that is least missed: it comes with the next key",
        EXEC,
    ),
    *(
        Exempt(15, f"test_user_is_the_one_that_was_asked_for[{user}]", "an sshd lets in names, with their groups", SSH)
        for user in ("4321", "1234:5678", "app:staff2", "app:2002", "0:app")
    ),
    Exempt(
        16,
        "test_environment_of_process_1",
        "what a process was started with is read on its machine, which takes root there",
        EXEC,
        ("docker-group",),
    ),
    Exempt(
        17,
        "test_directory_of_a_command_is_the_images",
        "without an engine nobody tells of a configured directory, and process 1 may have gone anywhere since",
        engines=("kernel",),
    ),
    Exempt(
        19,
        "test_limits_of_a_login_are_the_containers",
        "limits come down from the sshd, whose supervisor may have set others than the container's",
        SSH,
    ),
    Exempt(
        19,
        "test_privileged_is_all_there_is_and_says_so",
        "an sshd gives nobody more rights than its container has",
        SSH,
    ),
    Exempt(
        21,
        "test_nothing_but_a_file_is_read[fifo]",
        "the engine's own exec opens a passwd that is a FIFO and waits for ever, and its daemon with it",
        EXEC,
        run=False,
    ),
    Exempt(16, "test_path_is_the_configured_one", "PATH ends with the tools", TOOLBOX),
    Exempt(
        18, "test_no_login_shell_is_an_error_with_a_remedy", "where there is no shell inside, it brings one", TOOLBOX
    ),
    Exempt(
        19,
        "test_mount_namespace_is_the_containers",
        "as root, the tools are in a copy of the container's mount namespace, which nobody else sees",
        TOOLBOX,
    ),
    *(
        Exempt(
            21,
            f"test_nothing_but_a_file_is_read[{trap}]",
            "the engine's own exec can't do without a passwd that can be read",
            EXEC,
        )
        for trap in ("directory", "endless")
    ),
)
