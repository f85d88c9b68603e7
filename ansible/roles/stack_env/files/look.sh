# look.sh ACCOUNT ENV PREFIX: what is there, as JSON: the account's home ("": no account), whether there is a
# conda, the environment that the link ENV leads to, whether ENV is something else than a link, and those
# made for it, each with its receipt (null: it is not complete) and the SHA-256 of its hooks.
account=$1
env=$2
prefix=$3
home=$(getent passwd "$account" | cut -d: -f6)
folder=$home/.conda/envs
used=""
foreign=false
conda=false
if [ -L "$folder/$env" ]; then
    used=$(basename "$(readlink "$folder/$env")")
elif [ -e "$folder/$env" ]; then
    foreign=true
fi
[ ! -x "$prefix/bin/conda" ] || conda=true
printf '{"home": "%s", "conda": %s, "used": "%s", "foreign": %s, "environments": {' \
    "$home" $conda "$used" $foreign
comma=""
for place in "$folder/$env"-*-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]; do
    [ -d "$place" ] || continue
    receipt=null
    [ ! -s "$place/.sdops.json" ] || receipt=$(cat "$place/.sdops.json")
    hooks=$(cd "$place/etc/conda" 2>/dev/null && cat activate.d/env_vars.sh deactivate.d/env_vars.sh 2>/dev/null)
    hooks=$(printf '%s\n' "$hooks" | sha256sum | cut -d' ' -f1)
    printf '%s"%s": {"receipt": %s, "hooks": "%s"}' "$comma" "$(basename "$place")" "$receipt" "$hooks"
    comma=', '
done
printf '}}\n'
