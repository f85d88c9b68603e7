# The hub's access token: whether it is there, whose it is and who may read it. Never a letter of it.
# shellcheck disable=SC2154
say account "$id"
[ -n "$id" ] || exit 0
hub_places
say path "$hf_token"
say variable "$hf_variable"
folder=${hf_token%/*}
nearest=$folder
while [ -n "$nearest" ] && ! [ -e "$nearest" ]; do nearest=${nearest%/*}; done
if ! [ -x "${nearest:-/}" ]; then
    say there hidden
    exit 0
fi
if [ -d "$folder" ]; then say folder "$(stat -L -c '%u %a' "$folder" 2>/dev/null)"; fi
if ! [ -e "$hf_token" ]; then
    say there no
    exit 0
fi
say there yes
say file "$(stat -L -c '%u %a %s' "$hf_token" 2>/dev/null) $(stat -L -c %U "$hf_token" 2>/dev/null)"
[ -f "$hf_token" ] || { say form folder; exit 0; }
[ -r "$hf_token" ] || { say form hidden; exit 0; }
# The same rules as sdops_runtime.hub.token, which reads it; nothing of it goes into any process's arguments.
value=$(head -c 8192 <"$hf_token" 2>/dev/null)
value=${value#"${value%%[![:space:]]*}"}
value=${value%"${value##*[![:space:]]}"}
case $value in
"") say form empty ;;
[\"\']* | *[\"\']) say form quoted ;;
*"
"*) say form lines ;;
*[[:space:]]*) say form blank ;;
*[!!-~]*) say form characters ;;
*) say form good ;;
esac
