# Sourced by the other scripts: finds a Python, makes the virtual environment and installs what a lock file lists.
#
#   bootstrap LOCK [ENVIRONMENT]     e.g. bootstrap requirements.lock
#
# Afterwards $ROOT is the checkout, $PY the environment's Python, and `bot` is importable from the checkout. Nothing
# is installed or printed when the environment already is what the lock says. PYTHON=/path/to/python3.12 picks the Python
# that a new environment is made with; FROM_SOURCE names a package that has no wheel and must be built.

set -eu
ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
unset VIRTUAL_ENV PYTHONHOME PYTHONSTARTUP __PYVENV_LAUNCHER__ PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV
export PYTHONPATH="$ROOT" PYTHONSAFEPATH=1 PIP_DISABLE_PIP_VERSION_CHECK=1

bootstrap() {
    lock=$1 venv=$ROOT/${2:-.venv}
    PY=$venv/bin/python
    if _ready; then return; fi
    base=$(_find_python) || exit 1
    exec 9>"$venv.lock"
    _wait_for_others
    if ! _ready; then _install; fi
    exec 9>&-
}

# What requirements-dev.lock installs will do for requirements.lock too: it lists the same and more.
_ready() {
    [ -x "$PY" ] || return 1
    for listed in "$lock" requirements-dev.lock; do
        if [ -f "$venv/.stamp-$listed" ] && [ "$(cat "$venv/.stamp-$listed")" = "$(_stamp "$listed")" ]; then return 0; fi
    done
    return 1
}

_stamp() { cksum <"$ROOT/$1" && _version; }

_version() { "$PY" -ISc 'import sys; print(sys.version)' 2>/dev/null; }

# Prints the path of the interpreter itself, not of an activated environment or a version manager's shim.
_find_python() {
    wanted='import sys; sys.version_info >= (3, 11) or sys.exit(1); print(sys._base_executable)'
    for name in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
        "$name" -ISc "$wanted" 2>/dev/null && return
    done
    echo "Python 3.11 or newer is needed, and none was found (tried python3 and python3.14 to python3.11)." >&2
    echo "Install one, or name it: PYTHON=/path/to/python3 $0" >&2
    return 1
}

# The lock belongs to the open file, so it goes when this script and what it started are gone, however they end.
_wait_for_others() {
    "$base" -IS - <<'EOF'
import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("waiting for another set-up to finish ...", file=sys.stderr)
    fcntl.flock(9, fcntl.LOCK_EX)
EOF
}

_install() {
    echo "setting up ${venv##*/} from $lock (once) ..." >&2
    if [ ! -x "$PY" ] || [ "$(cat "$venv/.python" 2>/dev/null)" != "$(_version)" ]; then _make_environment; fi
    if uv=$(_find_uv); then set -- "$uv" pip install --python "$PY"; else set -- "$PY" -m pip install; fi
    set -- "$@" --quiet --require-hashes --only-binary :all:
    if [ -n "${FROM_SOURCE:-}" ]; then set -- "$@" --no-binary "$FROM_SOURCE"; fi
    (cd "$ROOT" && "$@" -r "$lock") >&2 || exit 1
    _stamp "$lock" >"$venv/.stamp-$lock"
}

_make_environment() {
    rm -rf "$venv"
    if ! "$base" -m venv "$venv" >&2; then
        rm -rf "$venv"
        echo "$base cannot make a virtual environment (on Debian and Ubuntu: apt-get install python3-venv)." >&2
        exit 1
    fi
    _version >"$venv/.python"
}

# The one on the PATH, else the one that requirements-dev.lock pins. Plain pip does as well, more slowly.
_find_uv() {
    if uv --version >/dev/null 2>&1; then command -v uv && return; fi
    if [ ! -x "$venv/bin/uv" ]; then
        sed -n '/^uv==/,/[^\\]$/p' "$ROOT/requirements-dev.lock" >"$venv/uv.lock"
        "$PY" -m pip install --quiet --require-hashes --only-binary :all: -r "$venv/uv.lock" >/dev/null 2>&1 || return 1
    fi
    echo "$venv/bin/uv"
}
