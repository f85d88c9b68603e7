# look.sh ACCOUNT PREFIX VERSION: what is there, as JSON: the account's home ("": no account), where the link
# PREFIX leads to, whether PREFIX is something else than a link, whether PREFIX-VERSION is complete, all
# versions, and the SHA-256 of what was written: conda's settings, the blocks in the shells' files.
account=$1
prefix=$2
base=$2-$3
home=$(getent passwd "$account" | cut -d: -f6)
link=""
foreign=false
complete=false
if [ -L "$prefix" ]; then
    link=$(readlink "$prefix")
elif [ -e "$prefix" ]; then
    foreign=true
fi
[ ! -s "$base/.sdops" ] || complete=true
digest() { sha256sum | cut -d' ' -f1; }
block() { sed -n '/^# BEGIN conda (sdops)$/,/^# END conda (sdops)$/p' "$home/$1" 2>/dev/null | sed '1d;$d' | digest; }
printf '{"home": "%s", "link": "%s", "foreign": %s, "complete": %s, ' "$home" "$link" $foreign $complete
printf '"settings": "%s", ' "$(cat "$base/.condarc" 2>/dev/null | digest)"
printf '"shells": ["%s", "%s"], "versions": [' "$(block .profile)" "$(block .bashrc)"
comma=""
for version in "$prefix"-py[0-9]*_[0-9]*; do
    [ -d "$version" ] || continue
    printf '%s"%s"' "$comma" "$version"
    comma=', '
done
printf ']}\n'
