# sign.sh FOLDER ADDRESS DAYS: has the fleet's authority sign the request that comes by stdin, for a host at
# this address, whatever else it asks for. Prints the certificate, and then the authority's own.
set -eu
umask 077
cd "$1"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
touch "$work/index"
cat >"$work/settings" <<END
[ca]
default_ca = fleet
[fleet]
database = $work/index
new_certs_dir = $work
certificate = ca.pem
private_key = authority.key
rand_serial = yes
default_md = sha256
policy = policy
[policy]
commonName = supplied
[host]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = IP:$2
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
END
cat >"$work/request"
# Valid since an hour ago: the other hosts' clocks may be slow.
openssl ca -batch -notext -config "$work/settings" -extensions host \
    -startdate "$(date -u -d '-1 hour' +%Y%m%d%H%M%SZ)" -enddate "$(date -u -d "+$3 days" +%Y%m%d%H%M%SZ)" \
    -in "$work/request" -out "$work/certificate" 2>"$work/said" || {
    cat "$work/said" >&2
    exit 1
}
cat "$work/certificate" ca.pem
