# request.sh FOLDER NAME: prints a request for the host's certificate. Its key, made if there is none that
# nobody else can read, stays here.
set -eu
umask 077
mkdir -p "$1"
cd "$1"
if [ "$(stat --format='%U %a' host.key 2>/dev/null)" != "$(id -un) 600" ] ||
    ! openssl pkey -in host.key -noout 2>/dev/null; then
    rm -f host.key
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out host.key 2>/dev/null
fi
openssl req -new -config /dev/stdin -key host.key -subj "/CN=$2" <<END
[req]
distinguished_name = name
[name]
END
