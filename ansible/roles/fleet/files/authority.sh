# authority.sh FOLDER NAME: a new authority for the fleet, for ten years. Its key stays here.
set -eu
umask 077
mkdir -p "$1"
cd "$1"
rm -rf .new-*
work=$(mktemp -d .new-XXXXXX)
trap 'rm -rf "$work"' EXIT
touch "$work/index"
cat >"$work/settings" <<END
[req]
distinguished_name = name
[name]
[ca]
default_ca = fleet
[fleet]
database = $work/index
new_certs_dir = $work
rand_serial = yes
default_md = sha256
policy = policy
[policy]
commonName = supplied
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
END
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/key" 2>"$work/said"
openssl req -new -config "$work/settings" -key "$work/key" -subj "/CN=sdops fleet $2" -out "$work/request"
# Valid since yesterday: the other hosts' clocks may be slow.
openssl ca -batch -notext -config "$work/settings" -selfsign -extensions authority \
    -startdate "$(date -u -d '-1 day' +%Y%m%d%H%M%SZ)" -enddate "$(date -u -d '+3650 days' +%Y%m%d%H%M%SZ)" \
    -keyfile "$work/key" -in "$work/request" -out "$work/certificate" 2>"$work/said" || {
    cat "$work/said" >&2
    exit 1
}
# A key without its certificate is none, and so made anew by the next run.
rm -f authority.key ca.pem
install -m 600 "$work/key" authority.key
install -m 644 "$work/certificate" ca.pem
