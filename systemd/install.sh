#!/bin/sh
# Puts Spotter onto an appliance, or takes it off: `sudo make install`, `sudo make uninstall`.
# PREFIX: where the program goes. DESTDIR: a folder that stands for the root of the system; nothing is started then.
# PYTHON: which Python. EXTRAS: of setup.cfg. PIP=no leaves out the Python environment.
set -eu

PREFIX=${PREFIX:-/opt/spotter}
DESTDIR=${DESTDIR:-}
PYTHON=${PYTHON:-python3}
EXTRAS=${EXTRAS:-pi}
PIP=${PIP:-yes}

source=$(cd "$(dirname "$0")/.." && pwd)
home=$DESTDIR$PREFIX
manifest=$home/installed.txt
config=$DESTDIR/etc/spotter.toml
units="spotter.service:/etc/systemd/system/spotter.service
spotter.sysusers:/etc/sysusers.d/spotter.conf
spotter.tmpfiles:/etc/tmpfiles.d/spotter.conf
60-spotter.rules:/etc/udev/rules.d/60-spotter.rules"

fail() {
    echo "$*" >&2
    exit 1
}

# Runs a command of the system; not in a DESTDIR, and not where the system lacks it.
system() {
    if [ -z "$DESTDIR" ] && command -v "$1" >/dev/null; then "$@"; fi
}

booted() {
    [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]
}

may_write() {
    case $PREFIX in
        /*) ;;
        *) fail "PREFIX must be an absolute path, not $PREFIX." ;;
    esac
    if [ -z "$DESTDIR" ] && [ "$(id -u)" != 0 ]; then
        fail "Only root may do this: sudo make $1. To look at what it does: make $1 DESTDIR=/tmp/spotter PIP=no"
    fi
}

environment() {
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' ||
        fail "Spotter needs Python 3.11 or newer; name one with PYTHON=python3.11."
    # With the system's packages: picamera2 and libcamera come with apt.
    [ -x "$home/bin/python" ] || "$PYTHON" -m venv --system-site-packages "$home"
    # A copy, so that nothing is left in the source folder that belongs to root.
    copy=$(mktemp -d)
    trap 'rm -rf "$copy"' EXIT
    for part in device export setup.cfg pyproject.toml README.md LICENSE; do cp -r "$source/$part" "$copy/"; done
    rm -rf "$copy"/*.egg-info
    "$home/bin/python" -m pip install --progress-bar on --upgrade -c "$source/constraints.txt" "$copy[$EXTRAS]"
    # In a DESTDIR the scripts would name the Python of this place, not of the one where they will be.
    if [ -n "$DESTDIR" ]; then
        grep -rlI "$home" "$home/bin" "$home/pyvenv.cfg" | xargs -r sed -i "s|$home|$PREFIX|g"
    fi
}

install_all() {
    may_write install
    if [ -d "$home" ] && [ ! -e "$manifest" ] && [ -n "$(ls -A "$home")" ]; then
        fail "$home holds something else. Move it away, or give another PREFIX."
    fi
    mkdir -p "$home"
    # First of all, so that what was cut off in the middle can be taken off again.
    { echo "$units" | cut -d: -f2; } >"$manifest"
    [ "$PIP" = no ] || environment
    echo "$units" | while IFS=: read -r from to; do
        mkdir -p "$(dirname "$DESTDIR$to")"
        sed "s|/opt/spotter|$PREFIX|g" "$source/systemd/$from" >"$DESTDIR$to"
        chmod 644 "$DESTDIR$to"
    done
    mkdir -p "$DESTDIR/etc"
    if [ -e "$config" ]; then
        echo "$config is kept as it is; the settings that come with this version are in $PREFIX/spotter.toml."
    else
        cp "$source/systemd/spotter.toml" "$config"
        chmod 644 "$config"
    fi
    cp "$source/systemd/spotter.toml" "$home/spotter.toml"
    system systemd-sysusers
    system systemd-tmpfiles --create "$DESTDIR/etc/tmpfiles.d/spotter.conf"
    if booted; then
        udevadm control --reload && udevadm trigger
        systemctl daemon-reload
        systemctl try-restart spotter.service
    fi
    echo "Spotter is in $home. Edit $config, then:"
    echo "  $PREFIX/bin/spotter config check /etc/spotter.toml && sudo systemctl enable --now spotter"
}

uninstall_all() {
    may_write uninstall
    [ -e "$manifest" ] || fail "Spotter is not installed in $home. If it is elsewhere, give its PREFIX."
    if booted; then systemctl disable --now spotter.service || true; fi
    while read -r file; do rm -f "$DESTDIR$file"; done <"$manifest"
    if [ -e "$config" ] && cmp -s "$config" "$home/spotter.toml"; then
        rm -f "$config"
    elif [ -e "$config" ]; then
        echo "Kept: $config, because it was edited."
    fi
    rm -rf "$home"
    if booted; then
        systemctl daemon-reload
        udevadm control --reload
    fi
    echo "Spotter is gone. Kept: the sessions, recordings and paired bands in $DESTDIR/var/lib/spotter, and the user spotter, whose they are."
    echo "To remove these too: sudo rm -r $DESTDIR/var/lib/spotter $DESTDIR/var/cache/spotter; sudo userdel spotter"
}

case ${1:-} in
    install) install_all ;;
    uninstall) uninstall_all ;;
    *) fail "usage: $0 install|uninstall" ;;
esac
