# look.sh HOME PYTHON REST GPU: what the account, as which it runs, has of a fleet; a line for each thing.
# PYTHON: what the runtime runs on. REST: seconds that a certificate has to be valid yet. GPU: yes or no.
export PATH="$PATH:/usr/sbin:/sbin"
home=$1 python=$2 rest=$3 gpu=$4
cd "$home" || exit 0
keys=.local/share/sdops-fleet
lib=.local/lib/sdops
units=.config/systemd/user
settings=.config/sdops/fleet.json

ip -4 -o address show 2>/dev/null | while read -r _ device _ address _; do
    echo "ADDRESS ${device%@*} ${address%/*}"
done
if [ -x "$python" ]; then echo "PYTHON $(basename "$(readlink -f "$python")")"; fi
if [ -x .local/bin/sdops-runtime ] && [ -f $lib/sdops-runtime.pyz ]; then echo RUNTIME; fi
if [ "$gpu" = yes ]; then echo "GPUS $(timeout 60 nvidia-smi -L 2>/dev/null | grep -c '^GPU ')"; fi

for file in $settings $keys/ca.pem "$units"/sdops-fleet-*.service; do
    if [ -f "$file" ] && ! [ -L "$file" ]; then
        echo "FILE $(stat --format=%a "$file") $(sha256sum <"$file" | cut -d' ' -f1) $file"
    fi
done
for link in $lib/fleet "$units"/default.target.wants/sdops-fleet-*; do
    if [ -L "$link" ]; then echo "LINK $link $(readlink "$link")"; fi
done
for path in $lib/fleet "$lib"/fleet-* "$units"/sdops-fleet-* "$units"/default.target.wants/sdops-fleet-* \
    $settings $keys $keys/authority.key .cache/sdops/fleet-*; do
    if [ -e "$path" ] || [ -L "$path" ]; then echo "HAS $path"; fi
done
if [ -f $settings ]; then sed 's/^/SETTINGS /' $settings; fi

# Whether a key is a certificate's, and nobody else's to read.
paired() {
    [ -f "$1" ] && [ "$(stat --format='%U %a' "$1")" = "$(id -un) 600" ] &&
        [ "$(openssl pkey -in "$1" -pubout 2>/dev/null)" = "$(openssl x509 -in "$2" -noout -pubkey 2>/dev/null)" ]
}
# An authority is valid for ten years, and made anew after two thirds of them.
if [ -f $keys/ca.pem ] && paired $keys/authority.key $keys/ca.pem &&
    openssl x509 -in $keys/ca.pem -noout -checkend 105120000 >/dev/null; then
    echo "AUTHORITY $(sha256sum <$keys/ca.pem | cut -d' ' -f1)"
fi
if [ -f $keys/host.pem ] && paired $keys/host.key $keys/host.pem &&
    openssl x509 -in $keys/host.pem -noout -checkend "$rest" >/dev/null &&
    openssl verify -x509_strict -CAfile $keys/ca.pem $keys/host.pem >/dev/null 2>&1; then
    echo "CERTIFICATE $(openssl x509 -in $keys/host.pem -noout -ext subjectAltName | sed -n 's/.*IP Address://p')"
fi

# Services, and which of them run with all that is there now: nothing of it is newer than their process.
current() { # current PROCESS FILE...
    process=$1
    shift
    began=$(awk -v now="$now" -v up="$up" -v tick="$(getconf CLK_TCK)" \
        '{ sub(/.*\) /, ""); printf "%.2f", now - up + $20 / tick }' "/proc/$process/stat" 2>/dev/null)
    [ -n "$began" ] && [ -z "$(find "$@" -newermt "@$began" 2>&1)" ] && [ "/proc/$process/exe" -ef "$python" ]
}
# One that is just being started, as when the head was, is waited for.
patience=30
while [ $patience -gt 0 ] && systemctl --user list-units --all --plain --no-legend --no-pager \
    'sdops-fleet-*' 2>/dev/null | grep -q ' activating '; do
    patience=$((patience - 1))
    sleep 0.5
done
now=$(date +%s.%N)
up=$(cut -d' ' -f1 /proc/uptime)
for unit in sdops-runtime.service $(systemctl --user list-units --all --plain --no-legend --no-pager \
    'sdops-fleet-*' 2>/dev/null | cut -d' ' -f1); do
    process=$(systemctl --user show --property=MainPID --value "$unit" 2>/dev/null)
    if [ "$unit" = sdops-runtime.service ]; then
        # It reads the rest when a job begins.
        set -- $settings $keys/ca.pem $lib/fleet
    else
        echo "LOADED $unit"
        set -- $settings $keys/ca.pem $keys/host.pem $keys/host.key $lib/fleet $lib/sdops-runtime.pyz \
            .local/bin/sdops-runtime "$units/$(echo "$unit" | sed 's/@.*/@.service/')"
    fi
    if systemctl --user --quiet is-active "$unit" && [ "${process:-0}" != 0 ] && current "$process" "$@"; then
        echo "RUNS $unit"
    fi
done
