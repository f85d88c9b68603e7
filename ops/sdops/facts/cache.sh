# The wanted model: on the host's disk, complete or not, as names and sizes of its files.
# shellcheck disable=SC2154
say account "$id"
[ -n "$id" ] || exit 0
# files FOLDER: size and name of every file in it; links that lead nowhere are none.
files() {
    (cd "$1" 2>/dev/null && find -L . -type f -exec stat -L -c 'file=%s %n' {} +) 2>/dev/null
    say listed "$1"
}
# index FOLDER: the list of the model's parts, on one line.
index() {
    if [ -f "$1/model_index.json" ]; then
        say index "$(head -c 65536 <"$1/model_index.json" 2>/dev/null | tr '\r\n' '  ')"
    fi
}
case $model in
demo) exit 0 ;;
/* | .* | "~"*)
    place=$model
    case $place in [~] | [~]/*) place=$home${place#?} ;; esac
    case $place in .*) place=$home/$place ;; esac
    say path "$place"
    if [ -d "$place" ]; then
        [ -x "$place" ] || { say there hidden; exit 0; }
        say there yes
        index "$place"
        files "$place"
    else
        say there no
    fi
    exit 0
    ;;
esac
hub_places
say root "$hf_cache"
place=models--$model
while case $place in */*) true ;; *) false ;; esac; do place=${place%%/*}--${place#*/}; done
place=$hf_cache/$place
say path "$place"
near=$place
while [ -n "$near" ] && ! [ -e "$near" ]; do near=${near%/*}; done
[ -x "${near:-/}" ] || { say there hidden; exit 0; }
# What the account can no longer write, a download cannot either.
for one in "$hf_home" "$hf_cache" "$place" "$place/blobs"; do
    [ -e "$one" ] && say owner "$(stat -L -c '%u %a %n' "$one" 2>/dev/null)"
done
[ -d "$place" ] || { say there no; exit 0; }
say there yes
commit=
case ${#revision} in 40) commit=$revision ;; esac
ref=$place/refs/${revision:-main}
if [ -z "$commit" ] && [ -f "$ref" ]; then read -r commit <"$ref" || :; fi
say ref "$commit"
if [ -z "$commit" ]; then
    # A branch is written down when all is there. Until then, the newest listing that is no other branch's is
    # what is being brought. The names are ours, and have no blanks.
    # shellcheck disable=SC2012
    for one in $(ls -t "$place/.sdops" 2>/dev/null | sed -n 's/\.json$//p'); do
        grep -rqs -e "$one" "$place/refs" || { commit=$one; break; }
    done
fi
case $commit in */* | .*) commit= ;; esac
say commit "$commit"
for one in "$place"/blobs/*.incomplete; do
    [ -f "$one" ] && say partial "$(stat -c '%s' "$one" 2>/dev/null) ${one##*/}"
done
if [ -n "$commit" ]; then
    if [ -f "$place/.sdops/$commit.json" ]; then
        say listing "$(head -c 262144 <"$place/.sdops/$commit.json" 2>/dev/null | tr '\r\n' '  ')"
    fi
    index "$place/snapshots/$commit"
    files "$place/snapshots/$commit"
fi
say whole yes
