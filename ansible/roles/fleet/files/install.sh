# install.sh FOLDER PYTHON OPTION...: pip's packages, of the list that comes by stdin, in a folder of their own,
# which is there when it is whole.
set -eu
umask 022
place=$1 python=$2
shift 2
rm -rf "$place.part"
mkdir -p "$place.part/tmp"
# The wheels lie there unpacked for a while; /tmp may be in memory (Debian 13).
TMPDIR=$place.part/tmp "$python" -m pip install --no-input --quiet --disable-pip-version-check \
    --require-hashes --no-deps --no-compile --requirement /dev/stdin --target "$place.part/new" "$@"
mv -T "$place.part/new" "$place"
rm -rf "$place.part"
