#!/bin/sh
# Miniconda3 @VERSION@ for tests: behaves like the real installer where the roles would notice.
# Below the line __PAYLOAD__ of this file stands a compressed tar archive.
set -eu
PREFIX=$HOME/miniconda3
BATCH=0
UPDATE=0
while getopts "bufhp:" option; do
    case "$option" in
        b) BATCH=1 ;;
        u) UPDATE=1 ;;
        f) UPDATE=1 ;;
        p) PREFIX=$OPTARG ;;
        *) echo "usage: $0 [-b] [-u] [-p PREFIX]" >&2; exit 2 ;;
    esac
done
case "$0" in
    *.sh) ;;
    *) echo 'Please run using "bash"/"dash"/"sh"/"zsh", but not "." or "source".' >&2; exit 1 ;;
esac
if [ "$BATCH" = 0 ]; then
    echo "Please press ENTER to read the licence (and use -b without a terminal)." >&2
    exit 1
fi
if [ "$UPDATE" = 0 ] && [ -e "$PREFIX" ]; then
    printf "ERROR: File or directory already exists: '%s'\n" "$PREFIX" >&2
    echo "If you want to update an existing installation, use the -u option." >&2
    exit 1
fi
mkdir -p "$PREFIX"
PREFIX=$(cd "$PREFIX" && pwd)
echo "PREFIX=$PREFIX"
line=$(awk '/^__PAYLOAD__$/ { print NR + 1; exit }' "$0")
tail -n "+$line" "$0" | tar -x -z -f - -C "$PREFIX"
# The payload names its prefix by a placeholder, as packages do.
for file in bin/conda bin/pip condabin/conda etc/profile.d/conda.sh; do
    if [ -f "$PREFIX/$file" ]; then sed -i "s|@PREFIX@|$PREFIX|g" "$PREFIX/$file"; fi
done
echo "@VERSION@" | sed 's/^py[0-9]*_//; s/-.*//' > "$PREFIX/conda-meta/conda-version"
echo "installation finished."
exit 0
# shellcheck disable=SC2317
__PAYLOAD__
