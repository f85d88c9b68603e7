# The environment: its packages by the files that conda and pip leave, and what its hook does. Starts no Python.
# shellcheck disable=SC1090,SC2154
link=$home/.conda/envs/$env
if [ -L "$link" ]; then
    say kind link
    say target "$(readlink "$link")"
elif [ -d "$link" ]; then
    say kind folder
elif [ -e "$link" ]; then
    say kind file
else
    say kind none
fi
folder=$(cd "$link" 2>/dev/null && pwd -P)
say folder "$folder"
[ -n "$folder" ] || exit 0
if [ -s "$folder/.sdops.json" ]; then say receipt "$(tr -d '\n' <"$folder/.sdops.json")"; fi
if [ -e "$folder/conda-meta/history" ]; then say history yes; else say history no; fi
for one in "$folder"/conda-meta/*.json; do
    [ -e "$one" ] && say conda "${one##*/}"
done
for site in "$folder"/lib/python3.*/site-packages; do
    [ -d "$site" ] || continue
    python=${site#"$folder"/lib/python}
    say python "${python%%/*}"
    for one in "$site"/*.dist-info "$site"/*.egg-info; do
        [ -e "$one" ] && say pip "${one##*/}"
    done
    if [ -r "$site/torch/version.py" ]; then sed -n 's/^cuda[^=]*= *//p' "$site/torch/version.py" | sed 's/^/cuda=/'; fi
    for one in "$home/.local/lib/python${python%%/*}/site-packages"/*.dist-info; do
        [ -e "$one" ] && say own "${one##*/}"
    done
done

hook=$folder/etc/conda/activate.d/env_vars.sh
if [ -r "$hook" ]; then say hook yes; else say hook no; fi
if [ -r "$folder/etc/conda/deactivate.d/env_vars.sh" ]; then say unhook yes; else say unhook no; fi
for one in "$folder"/etc/conda/activate.d/*.sh; do
    [ -r "$one" ] && grep -qs LD_LIBRARY_PATH "$one" && say setter "${one##*/}"
done
# activated TIMES: what is on the loader's path after that many activations, from an empty one.
activated() {
    (
        unset LD_LIBRARY_PATH
        CONDA_PREFIX=$link
        export CONDA_PREFIX
        for one in "$folder"/etc/conda/activate.d/*.sh; do
            [ -r "$one" ] && grep -qs LD_LIBRARY_PATH "$one" && . "$one" >/dev/null 2>&1
        done
        [ "$1" = 1 ] || . "$hook" >/dev/null 2>&1
        printf %s "${LD_LIBRARY_PATH-}"
    )
}
if [ -r "$hook" ]; then
    say path "$(activated 1)"
    say path_twice "$(activated 2)"
fi
# A libcuda in the environment itself comes before the driver's own.
for one in "$folder"/lib/libcuda.so "$folder"/lib/libcuda.so.1; do
    [ -e "$one" ] && say stub "$one"
done
# Files of shells that set the loader's path for all programs, and by that for those in the environment.
for one in /etc/environment /etc/profile /etc/profile.d/*.sh "$home/.profile" "$home/.bash_profile" "$home/.bashrc"; do
    [ -r "$one" ] && grep -Hs '^[^#]*LD_LIBRARY_PATH=' "$one" | sed 's/^/shell=/'
done
