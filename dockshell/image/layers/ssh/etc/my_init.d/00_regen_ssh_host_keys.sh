#!/bin/sh
# Makes the host keys when sshd is to run for the first time, so that every container has its own and the image none. It
# does nothing while sshd is off, unless with -f, and nothing where there is a key already.
[ "${1-}" = -f ] || [ ! -e /etc/service/sshd/down ] || exit 0
for key in /etc/ssh/ssh_host_*_key /run/sshd/ssh_host_*_key; do
    [ ! -e "$key" ] || exit 0
done

make_keys() {
    # Where /etc can't be written, /run is the place, and the service tells sshd.
    mkdir -p -m 0755 /run/sshd
    directory=$(mktemp -d /etc/ssh/new.XXXXXX 2>/dev/null || mktemp -d /run/sshd/new.XXXXXX) || return
    trap 'rm -rf "$directory"' EXIT

    # No RSA: it takes half a second of the boot, and all SSH of the last ten years takes the others.
    for type in ed25519 ecdsa; do
        key=$directory/ssh_host_${type}_key
        ssh-keygen -q -t "$type" -N '' -C "root@$(uname -n)" -f "$key" </dev/null || return
        # The private one at last: where it is, both are whole.
        mv "$key.pub" "$key" "${directory%/*}/" || return
    done
}

# At boot nothing else is to fail by that, a full disk above all: the service tries it again.
make_keys || {
    echo 'There are no host keys for sshd, and none can be made now' >&2
    [ "${1-}" != -f ]
}
