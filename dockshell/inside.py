"""What a shell inside, as a rule the container's own /bin/sh, is asked to do for us where the processes are out of our
reach: to find a command, to signal it, to end its Unix session. It takes /proc, and no program but sleep. Pure: this
only writes the script.

Every number comes as an argument. A process is known by its number and the moment when it began (proc_pid_stat(5),
fields 1 and 22), so that a number which has come to mean another is left alone."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ATTEND", "GONE", "MARK", "once"]

MARK = "DOCKSHELL_SESSION"
GONE = 3  # the exit code where there is no such process

# /proc/PID/stat reads PID (NAME) STATE PPID PGRP SESSION …, and the name may hold anything, so the fields begin after
# the last parenthesis. each calls what it is given with them, from $2 on, for every process; $p is its number. $t and
# $b are the number and the beginning of the command. give sends a signal to its process group, as sshd's killpg(2)
# does; 13, SIGPIPE, which only who writes has earned, to it alone.
_PROCESSES = """
each() {
    for f in /proc/[0-9]*/stat; do
        read -r l <"$f" || continue
        p=${f#/proc/}; p=${p%/stat}
        "$@" ${l##*) }
    done 2>/dev/null
}
known() {
    [ "$t" ] && read -r l <"/proc/$t/stat" || return 1
    set -- ${l##*) }
    [ "$1" != Z ] && [ "${20}" = "$b" ]
} 2>/dev/null
hit() { [ "$5" = "$t" ] && [ "$2" != Z ] && { kill "-$1" "$p"; kill -CONT "$p"; }; }
here() { [ "$5" = "$t" ] && [ "$2" != Z ] && n=$p; }
left() { n=; each here -; [ "$n" ]; }
give() { { [ "$1" != 13 ] && kill "-$1" "-$t"; } || kill "-$1" "$t"; } 2>/dev/null
now() { read -r u _ </proc/uptime; u=${u%.*}${u#*.}; }
finish() {
    for s in HUP TERM KILL; do
        each hit $s
        now; late=$((u + 55))
        while left; do
            now; [ "$u" -lt "$late" ] || continue 2
            sleep 0.05 2>/dev/null || sleep 1
            [ $s != KILL ] || each hit KILL
        done
        return 0
    done
    ! left
}
"""

# By the mark $m in its environment: of those who lead a session, the oldest who has it and isn't this shell.
_MARKED = """
carries() {
    while read -r e || [ "$e" ]; do
        case $e in *"$m"*) return 0 ;; esac
    done <"/proc/$p/environ"
    return 1
}
marked() {
    [ "$5" = "$p" ] && [ "$p" != $$ ] && { [ ! "$t" ] || [ "${21}" -lt "$b" ]; } && carries && { t=$p; b=${21}; }
}
"""

# $1: a number or `end`. $2, $3: the command's number and beginning; or nothing, and in $4 its mark. Says what it found.
_ONCE = """
m=$4; t=$2; b=$3
[ ! "$m" ] || each marked -
echo "$t $b"
known || exit 3
if [ "$1" = end ]; then finish; else give "$1"; fi
"""

# Started before its sibling, the command, which it knows by their common parent; or, should that have ended already, by
# the connection's name, which is in the environment of both. On a busy machine the parent may be gone before this shell
# has started, and the command may still be an image of the parent, without that environment, so it looks for a while.
# Passes on each signal that it reads, a number a line. After 0 there is nothing left to do; without it the end of its
# input means that the client died.
ATTEND = (
    _PROCESSES
    + _MARKED
    + """
t=; b=; m="SSH_CONNECTION=$SSH_CONNECTION"
began() { a=${21}; }
sibling() { [ "$3" = "$PPID" ] && [ "$p" != $$ ] && [ "${21}" -ge "$a" ] && { t=$p; b=${21}; }; }
served() { [ "$PPID" -gt 1 ] && kill -0 "$PPID" 2>/dev/null; }
seek() { [ "$t" ] || { served && each sibling -; }; }
pause() { i=$((i + 1)); sleep 0.05 2>/dev/null || sleep 1; }
trap '' HUP PIPE
read -r l </proc/$$/stat || exit 3
began - ${l##*) }
echo attending
i=0
while seek; [ ! "$t" ] && [ $i -lt 40 ] && served; do pause; done
while read -r n; do
    [ "$n" != 0 ] || exit 0
    seek
    known && give "$n"
done
i=0
while [ "$t" ] || each marked -; [ ! "$t" ] && [ $i -lt 40 ]; do pause; done
known && finish
"""
)


def once(shell: tuple[str, ...], what: str, pid: str = "", begun: str = "", mark: str = "") -> Sequence[str]:
    """The argv by which that shell signals a command (what: a number) or ends its session (`end`). It is known by pid
    and begun, the container's own number of it and the ticks of its beginning, or by the mark in its environment. Exit
    code 0: done; GONE; else not all of it could be done."""
    return (*shell, "-c", _PROCESSES + _MARKED + _ONCE, "sh", what, pid, begun, mark)
