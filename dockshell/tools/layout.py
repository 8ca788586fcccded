"""How a toolbox is laid out, wherever it stands:

    busybox      the static one
    sh           a link to it
    bin/NAME     a link to it, or to `run` where the tree has a program of that name
    run          finds NAME in the tree and runs it by the tree's own loader, with the tree's libraries
    tree/        the files of a directory or an image, where one is to be had

Programs of an image name their loader and libraries by absolute paths (elf(5), PT_INTERP; ld.so(8)), where the
container has others or none. So a loader is started by its path in the tree, and told the rest."""

from __future__ import annotations

import os
from stat import S_ISLNK, S_ISREG

from dockshell.linux.libc import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["DIRECTORIES", "lay", "programs", "runner"]

# Where the programs of a tree lie, the first going before the others. git starts most of itself from a directory of its
# own, and is told to do so from bin. A tree that has none of them holds nothing but programs.
DIRECTORIES = (
    "usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin", "usr/lib/git-core", "usr/libexec/git-core",
)  # fmt: skip

_INSIDE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_MOST = 20_000  # programs; the largest images have a few thousand

# The directory is known by $0, so the very same text serves in any; but who executes it, by name, is in its first line.
# What it needs of programs is busybox's. Every path in the tree is resolved here, link by link: an absolute one means
# the tree's root, and for the kernel it would mean the container's.
_RUN = r"""
T=${0%/bin/*} name=${0##*/}
R=$T/tree B=$T/busybox

resolve() {
    todo=$1 found= hops=0
    while [ "$todo" ]; do
        part=${todo%%/*}
        case $todo in */*) todo=${todo#*/} ;; *) todo= ;; esac
        case $part in
            '' | .) ;;
            ..) found=${found%/*} ;;
            *)
                if [ -L "$R$found/$part" ]; then
                    hops=$((hops + 1))
                    [ $hops -le 40 ] && link=$("$B" readlink "$R$found/$part") || return 1
                    case $link in /*) found= ;; esac
                    todo=$link/$todo
                else
                    found=$found/$part
                fi
                ;;
        esac
    done
    [ -e "$R$found" ]
}

# Sets `list` to where that loader is to look for libraries. musl's has paths of its own: ldso/dynlink.c.
libraries() {
    list=
    case $1 in
        */ld-musl-*.so*)
            paths=/lib:/usr/local/lib:/usr/lib
            each=${1##*/}
            each=$R/etc/${each%.so*}.path
            [ ! -r "$each" ] || paths=$("$B" tr '\n' : <"$each")
            while [ "$paths" ]; do
                each=${paths%%:*}
                case $paths in *:*) paths=${paths#*:} ;; *) paths= ;; esac
                case $each in /*) list=$list${list:+:}$R$each ;; esac
            done
            return
            ;;
    esac
    for each in "$R"/lib/*-linux-* "$R"/usr/lib/*-linux-* "$R"/usr/local/lib "$R"/lib64 "$R"/usr/lib64 "$R"/lib \
        "$R"/usr/lib; do
        [ ! -d "$each" ] || list=$list${list:+:}$each
    done
    for each in "$R"/etc/ld.so.conf.d/*.conf; do
        [ -r "$each" ] || continue
        while read -r line; do
            case $line in /*) list=$list:$R$line ;; esac
        done <"$each"
    done
}

fail() { echo "dockshell: $1" >&2; exit "$2"; }

# What od(1) reads of a file: $1 the type, $2 the file, $3 the place, $4 how many bytes. Numbers in this machine's own
# order, which is that of its programs.
numbers() { "$B" od -A n -v -t "$1" -j "$3" -N "$4" "$2" 2>/dev/null; }

# Sets `loader` to the path of a program's loader; empty for a static one, and what is no program: elf(5), PT_INTERP.
find_loader() {
    loader= file=$1 count=0 size=0
    case $(numbers x1 "$file" 0 5) in
        *'7f 45 4c 46 02'*) word=u8 bytes=8 table=32 counts=54 offset=8 ;;
        *'7f 45 4c 46 01'*) word=u4 bytes=4 table=28 counts=42 offset=4 ;;
        *) return ;;
    esac
    entry=$(($(numbers $word "$file" $table $bytes)))
    set -- $(numbers u2 "$file" $counts 4)
    size=${1:-0} count=${2:-0}
    [ "$size" -ge 32 ] && [ "$count" -le 100 ] || return
    set -- $(numbers u4 "$file" $entry $((size * count)))
    while [ "$1" ] && [ "$1" != 3 ]; do
        shift $((size / 4)) || return
        entry=$((entry + size))
    done
    [ "$1" ] || return
    # Its place and size in the file: p_offset, p_vaddr, p_paddr, p_filesz.
    set -- $(numbers $word "$file" $((entry + offset)) $((bytes * 4)))
    [ "${4:-0}" -gt 1 ] && [ "$4" -le 4096 ] || return
    loader=$("$B" tail -c +$(($1 + 1)) "$file" | "$B" head -c $(($4 - 1)))
}

# $1: a path in the tree, and the arguments. argv[0] gets the name that was typed, for many programs are several by
# their name, in the directory where the program really is, for others look for their files from there.
launch() {
    called=${1##*/}
    resolve "$1" || fail "$1 is not among the tools" 127
    program=$R$found zero=$R${found%/*}/$called
    shift
    [ -x "$program" ] || fail "$called can't be executed" 126
    if [ "$("$B" head -c 2 "$program" 2>/dev/null)" = '#!' ]; then
        read -r line <"$program"
        line=${line#"#!"}
        line=${line#"${line%%[! ]*}"}
        first=${line%% *} rest=${line#"${line%% *}"}
        rest=${rest#"${rest%%[! ]*}"}
        case $first in
            */env)
                set -f
                set -- $rest "$program" "$@"
                [ "$1" != -S ] || shift
                first=$1
                shift
                [ ! -e "$T/bin/$first" ] || first=$T/bin/$first
                exec "$first" "$@"
                ;;
        esac
        [ -z "$rest" ] || set -- "$rest" "$program" "$@"
        [ "$rest" ] || set -- "$program" "$@"
        if resolve "$first"; then launch "$first" "$@"; fi
        [ ! -e "$T/bin/${first##*/}" ] || first=$T/bin/${first##*/}
        exec "$first" "$@"
    fi
    find_loader "$program"
    [ "$loader" ] || exec -a "$zero" "$program" "$@"
    if ! resolve "$loader"; then
        [ -x "$loader" ] || fail "$called takes $loader, which is neither among the tools nor in the container" 127
        exec -a "$zero" "$program" "$@"
    fi
    libraries "$loader"
    exec "$R$found" --argv0 "$zero" --library-path "$list" "$program" "$@"
}

# What programs look for by paths of their own.
U=$R/usr  # in a tree that is a /usr itself, its root
[ -d "$U" ] || U=$R
case $name in
    git*) export GIT_EXEC_PATH="$T/bin" GIT_TEMPLATE_DIR="$U/share/git-core/templates" ;;
    perl*)
        for each in "$R"/etc/perl "$U"/lib/*/perl5/* "$U"/share/perl5 "$U"/lib/*/perl-base "$U"/lib/*/perl/* \
            "$U"/share/perl/* "$U"/lib/perl5/* "$U"/share/perl5/*_perl; do
            [ ! -d "$each" ] || PERL5LIB=${PERL5LIB:+$PERL5LIB:}$each
        done
        export PERL5LIB
        ;;
esac
terminals=${TERMINFO_DIRS:-/etc/terminfo:/lib/terminfo:/usr/share/terminfo}
export TERMINFO_DIRS="$terminals:$R/lib/terminfo:$U/share/terminfo"
roots=/etc/ssl/certs/ca-certificates.crt
if [ ! -e $roots ] && [ -e "$R$roots" ]; then
    export SSL_CERT_FILE="${SSL_CERT_FILE:-$R$roots}" CURL_CA_BUNDLE="${CURL_CA_BUNDLE:-$R$roots}"
fi

for each in @DIRECTORIES@ .; do
    if resolve "/$each/$name" && [ -f "$R$found" ]; then
        launch "/$each/$name" "$@"
    fi
done
fail "$name is not among the tools" 127
"""


def runner(place: str) -> bytes:
    """The script `run` of a toolbox at that path."""
    return f"#!{place}/busybox sh{_RUN.replace('@DIRECTORIES@', ' '.join(DIRECTORIES))}".encode()


def lay(place: str, busybox: str, names: Iterable[str]) -> None:
    """Lays out, in an empty directory, a toolbox with that busybox, which is each of the names; with what is at
    PLACE/tree by then, too, if anything is. Raises OSError."""
    with open(busybox, "rb") as source, open(f"{place}/busybox", "xb") as copy:
        os.fchmod(copy.fileno(), 0o755)
        while piece := source.read(1 << 20):
            copy.write(piece)
    os.symlink("busybox", f"{place}/sh")
    os.mkdir(f"{place}/bin")
    found = programs(f"{place}/tree")
    if found:
        with open(f"{place}/run", "xb") as script:
            os.fchmod(script.fileno(), 0o755)
            script.write(runner(place))
    for name in found:
        os.symlink("../run", f"{place}/bin/{name}")
    for name in {*names} - {*found}:
        os.symlink("../busybox", f"{place}/bin/{name}")


def programs(tree: str) -> list[str]:
    """The names of the programs in a tree, at a path of ours; none where there is no tree. No link in it is followed
    out of it. Raises OSError."""
    if not os.path.isdir(tree):
        return []
    found: dict[str, None] = {}
    root = os.open(tree, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for each in (*DIRECTORIES, "."):
            if each == "." and found:
                break
            try:
                directory = openat2(root, each, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, _INSIDE)
            except OSError:
                continue
            try:
                found.update(dict.fromkeys(_executable(root, each, directory)))
            finally:
                os.close(directory)
    finally:
        os.close(root)
    return list(found)[:_MOST]


def _executable(root: int, path: str, directory: int) -> list[str]:
    """The names of what can be executed in the directory, which is at that path; what a link leads to counts."""
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            mode = entry.stat(follow_symlinks=False).st_mode
            if S_ISLNK(mode):
                mode = _led_to(root, f"{path}/{entry.name}")
            if S_ISREG(mode) and mode & 0o111:
                found.append(entry.name)
    return found


def _led_to(root: int, path: str) -> int:
    """The mode of what is there when all links were followed, each within the tree; 0 for nothing."""
    try:
        descriptor = openat2(root, path, os.O_PATH | os.O_CLOEXEC, _INSIDE)
    except OSError:
        return 0
    try:
        return os.fstat(descriptor).st_mode
    finally:
        os.close(descriptor)
