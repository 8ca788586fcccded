"""A line of ours in a user's authorized_keys inside, for the length of one login: the script that puts it there and
takes it out again. Pure: this only writes the script, which the container's own /bin/sh runs as that user.

The line says in its comment until when it counts and whose it is: `dockshell expires=EPOCH token=HEX was=WORD`.
Whatever ended the one who put it there, the next run of the script takes out what has expired. WORD is what was there
before any line of ours, for it is to be so again after the last: `dir` no .ssh, `file` no authorized_keys, `cut` one
whose last line had no newline, `whole` none of these."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LIFETIME", "MARK", "REASONS", "line", "put", "take_out"]

LIFETIME = 300  # seconds that a line counts at the most; a login takes one
MARK = b" dockshell expires="
_SLACK = 2  # days: in whichever time zone the sshd reads a date, it hasn't come before the line's own end
_DAY = 86400
_OPENSSH = re.compile(rb"SSH-2\.0-OpenSSH_([0-9]{1,3})\.([0-9]{1,3})")
_EXPIRY_TIME = (
    7,
    7,
)  # https://www.openssh.com/txt/release-7.7; an older sshd refuses a line with a word that it doesn't know

# The script's exit codes, each with why the line couldn't be put there.
REASONS = {
    3: "its .ssh or authorized_keys is a link, or isn't a plain one of the user's own",
    4: "it can't be written",
    5: "another login holds it",
    6: "the home directory isn't there",
    126: "nothing can be executed there",
    127: "there is no /bin/sh",
}

# $1: `put` or `out`. $2: the home directory. $3: the token, hexadecimal. $4: seconds that the line is to count. $5: our
# clock, where there is none inside. $6: the line without its comment.
#
# Nothing is written but in a .ssh that is the user's own, by names that are relative to it, so no link leads elsewhere;
# and the user could do there whatever the script does. One at a time: who makes the directory `lock` and puts its token
# in it. A lock that hasn't changed for two seconds is nobody's: whoever removes the token in it removes it.
_SCRIPT = r"""
LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 077
what=$1 home=$2 token=$3
file=authorized_keys lock=.dockshell.lock new=.dockshell.$token was=whole locked=
now=$(date +%s 2>/dev/null)
case $now in '' | *[!0-9]*) now=$5 ;; esac

finish() {
    rm -f "$new"
    [ ! "$locked" ] || { rm -f "$lock/$token"; rmdir "$lock"; }
    cd /
    [ "$was" != dir ] || rmdir "$home/.ssh"
} 2>/dev/null
trap finish EXIT
trap 'exit 4' HUP INT TERM

enter() {
    [ -d "$home" ] || exit 6
    [ ! -h "$home/.ssh" ] || exit 3
    if [ "$what" = put ]; then
        mkdir "$home/.ssh" 2>/dev/null && was=dir
        [ -e "$home/.ssh" ] || exit 4
    else
        [ -e "$home/.ssh" ] || exit 0
    fi
    cd "$home/.ssh" 2>/dev/null && [ -O . ] || exit 3
}

take_lock() {
    waited=0 same=0 seen= missed=0
    until mkdir "$lock" 2>/dev/null && printf '' 2>/dev/null >"$lock/$token"; do
        waited=$((waited + 1))
        [ $waited -lt 160 ] || exit 5
        if [ ! -d "$lock" ]; then
            missed=$((missed + 1))
            [ $missed -lt 5 ] || exit 4
            enter
            continue
        fi
        for held in "$lock"/*; do :; done
        [ "$held" = "$seen" ] && same=$((same + 1)) || same=0
        seen=$held
        if [ $same -ge 40 ]; then
            same=0
            if [ -e "$held" ]; then rm "$held" && rmdir "$lock"; else rmdir "$lock"; fi 2>/dev/null
        fi
        sleep 0.05 2>/dev/null || sleep 1
    done
    locked=1
}

# Is $l a line of ours? Its $e, $t and $w: when it expires, its token, what was there before.
ours() {
    case $l in *" dockshell expires="[0-9]*" token="[0-9a-f]*" was="[a-z]*) ;; *) return 1 ;; esac
    e=${l##*" dockshell expires="}
    t=${e#*" token="} e=${e%%" "*}
    w=${t##*" was="} t=${t%%" "*}
    case $e in *[!0-9]*) return 1 ;; esac
    case $t$w in *[!0-9a-z]*) return 1 ;; esac
    [ ${#e} -le 12 ]
}

look() {
    found= gone= unended=
    while IFS= read -r l || { [ "$l" ] && unended=1; }; do
        ours || continue
        found=1
        [ "$was" = dir ] || was=$w
        { [ "$t" != "$token" ] && [ "$e" -gt "$now" ]; } || gone=1
    done <"$file"
    [ "$found" ] || [ "$was" = dir ] || [ ! "$unended" ] || was=cut
}

# Each line that stays is held back until it is known whether it is the last one.
kept() {
    last= holding= cut=
    while IFS= read -r l || [ "$l" ]; do
        if ours; then
            if [ "$t" = "$token" ] || [ "$e" -le "$now" ]; then
                [ "$was" != cut ] || cut=1
                continue
            fi
            l="${l%" was="*} was=$was"
        fi
        [ ! "$holding" ] || printf '%s\n' "$last" || exit 4
        last=$l holding=1 cut=
    done <"$file"
    [ "$holding" ] || return 0
    if [ "$what" != put ] && { [ "$cut" ] || [ "$unended" ]; }; then printf %s "$last"; else printf '%s\n' "$last"; fi
}

enter
take_lock
for left in .dockshell.*; do [ "$left" = "$lock" ] || rm -f "$left"; done  # of one that the container's end cut short
[ ! -h "$file" ] || exit 3
if [ -e "$file" ]; then
    [ -f "$file" ] && [ -O "$file" ] || exit 3
    [ -r "$file" ] && look || exit 4
    [ "$what" = put ] || [ "$gone" ] || exit 0
    cp -p "$file" "$new" 2>/dev/null || exit 4
    readonly=
    [ -w "$new" ] || { readonly=1; chmod u+w "$new" || exit 4; } 2>/dev/null
    kept 2>/dev/null >"$new" || exit 4
else
    [ "$what" = put ] || exit 0
    [ "$was" = dir ] || was=file
    readonly= holding=
    printf '' 2>/dev/null >"$new" || exit 4
fi
if [ "$what" = put ]; then
    printf '%s dockshell expires=%s token=%s was=%s\n' "$6" $((now + $4)) "$token" "$was" 2>/dev/null >>"$new" || exit 4
    holding=1
fi
[ ! "$readonly" ] || chmod u-w "$new"
[ ! "$locked" ] || [ -e "$lock/$token" ] || exit 5
if [ ! "$holding" ] && { [ "$was" = dir ] || [ "$was" = file ]; }; then
    rm -f "$file" || exit 4
else
    mv -f "$new" "$file" 2>/dev/null || exit 4
fi
"""


def line(blob: str, greeting: bytes, now: float) -> str:
    """The line without its comment. blob: the Ed25519 public key in base64; greeting: what the sshd sent first; now: in
    seconds since 1970. An sshd that knows how is told to take the key no longer than some days, by the date alone: what
    hour it is depends on the container's time zone, and only sshds from 9.1 on read another."""
    match = _OPENSSH.match(greeting)
    if not match or (int(match[1]), int(match[2])) < _EXPIRY_TIME:
        return f"ssh-ed25519 {blob}"
    from time import gmtime, strftime

    day = strftime("%Y%m%d", gmtime(int((now + LIFETIME) // _DAY + _SLACK) * _DAY))
    return f'expiry-time="{day}" ssh-ed25519 {blob}'


def put(home: str, token: str, words: str, now: float) -> Sequence[str]:
    """The argv that puts the line into the authorized_keys of the user whom it runs as. words: what line() made. Exit
    code 0: it is there; else none of it is (REASONS)."""
    return ("/bin/sh", "-c", _SCRIPT, "sh", "put", home, token, str(LIFETIME), str(int(now)), words)


def take_out(home: str, token: str, now: float) -> Sequence[str]:
    """The argv that takes it out again. Exit code 0: it isn't there."""
    return ("/bin/sh", "-c", _SCRIPT, "sh", "out", home, token, "0", str(int(now)), "")
