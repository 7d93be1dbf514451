#!/usr/bin/env bash
# A small complete study with a report, about ten minutes on 2 cores; downloads nothing beyond packages.
#   scripts/demo.sh                    simulated images
#   scripts/demo.sh --data FOLDER      your own: one subfolder of images a class
# Run again, it continues or says that everything is done.

data=()
while [ $# -gt 0 ]; do
    case "$1" in
    --data)
        [ $# -ge 2 ] || { echo "--data needs a folder" >&2; exit 2; }
        data=(--source "$(cd "$2" && pwd)") || exit 2
        shift 2
        ;;
    *)
        echo "usage: scripts/demo.sh [--data FOLDER]" >&2
        exit 2
        ;;
    esac
done

USGAN_EXTRAS=offline
[ -f "$(dirname "$0")/../.venv/.usgan-dev" ] && USGAN_EXTRAS=dev
source "$(dirname "$0")/setup.sh"
work=demo
[ ${#data[@]} -eq 0 ] || work="demo-$(basename "${data[1]}")"
exec .venv/bin/usgan study demo --work "$work" ${data[@]+"${data[@]}"}
