# Whether the hub lets the account read the wanted model: the runtime asks, with its own token, which no
# other process sees.
# shellcheck disable=SC2154
say account "$id"
[ -n "$id" ] || exit 0
case $model in demo | /* | .* | "~"*) say asked needless; exit 0 ;; esac
launcher=$home/.local/bin/sdops-runtime
if ! [ -x "$launcher" ]; then
    say asked missing
    exit 0
fi
hub_places
say asked yes
said=$(as_account env "HF_HOME=$hf_home" "HF_TOKEN_PATH=$hf_token" \
    "$launcher" access "$model" ${revision:+--revision "$revision"} 2>/dev/null)
say status $?
printf '%s\n' "$said" | sed -n '$s/^/said=/p'
