# Where conda is, its version, channels and terms of service: by its files alone, since it takes a second to start.
# shellcheck disable=SC2154
say place "$(readlink -f "$prefix" 2>/dev/null)"
if [ -x "$prefix/bin/conda" ]; then say program yes; else say program no; fi
# The playbook writes the first when all is there and works; an installation by hand has the second.
if [ -s "$prefix/.sdops" ] || [ -s "$prefix/conda-meta/history" ]; then say history yes; else say history no; fi
say owner "$(stat -L -c %U "$prefix" 2>/dev/null)"
for one in "$prefix"/conda-meta/conda-[0-9]*.json "$prefix"/conda-meta/conda-anaconda-tos-*.json; do
    [ -e "$one" ] && say package "${one##*/}"
done
for one in "$prefix/.condarc" "$home/.condarc" "$home/.conda/.condarc" /etc/conda/.condarc; do
    [ -r "$one" ] || continue
    say file "$one"
    sed 's/^/line=/' "$one"
done
# A file for each channel whose terms somebody has accepted.
for one in "$home"/.conda/tos/*/*.json "$prefix"/conda-meta/tos/*/*.json /etc/conda/tos/*/*.json; do
    [ -e "$one" ] && grep -qs '"tos_accepted": *true' "$one" && say accepted "$one"
done
for one in .profile .bash_profile .bashrc; do
    [ -r "$home/$one" ] && grep -qs 'conda' "$home/$one" && say shell "$one"
done
