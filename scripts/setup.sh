# Sourced by the other scripts: a virtual environment in the checkout with usgan in it, made once.
# Nothing outside the checkout is touched. USGAN_EXTRAS names the extras to install.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_python() {
    local name
    for name in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11 python; do
        if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "usgan needs Python 3.11 or newer; set PYTHON to one." >&2
    exit 1
}

# The stamp holds what was installed from; when pyproject.toml or the extras change, install again.
stamp=.venv/.usgan-installed
installed_from="${USGAN_EXTRAS} $(cksum <pyproject.toml)"
if [ ! -x .venv/bin/python ] || [ "$(cat "$stamp" 2>/dev/null)" != "$installed_from" ]; then
    [ -x .venv/bin/python ] || "$(find_python)" -m venv .venv
    echo "Installing usgan into .venv (the first time takes a few minutes) ..." >&2
    # Compiling every module of every package takes longer than unpacking them; those that are used are compiled then.
    compile=(--no-compile)
    [ -z "${PYTHONDONTWRITEBYTECODE:-}" ] || compile=()
    .venv/bin/python -m pip install --quiet --disable-pip-version-check ${compile[@]+"${compile[@]}"} --editable ".[${USGAN_EXTRAS}]"
    echo "$installed_from" >"$stamp"
fi
