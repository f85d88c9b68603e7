# look.sh FOLDER ENV CONDA: what is there, as JSON: the environment that the link ENV leads to, those made
# for it each with its receipt (null: it is not complete), whether ENV is something else than our link,
# and whether there is a conda.
folder=$1 env=$2 conda=$3
used=""
foreign=false
if [ -L "$folder/$env" ]; then
    used=$(basename "$(readlink "$folder/$env")")
elif [ -e "$folder/$env" ]; then
    foreign=true
fi
found=false
[ ! -x "$conda/bin/conda" ] || found=true
printf '{"used": "%s", "foreign": %s, "conda": %s, "environments": {' "$used" "$foreign" "$found"
comma=""
for place in "$folder/$env"-*-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]; do
    [ -d "$place" ] || continue
    receipt=null
    [ ! -s "$place/.sdops.json" ] || receipt=$(cat "$place/.sdops.json")
    printf '%s"%s": %s' "$comma" "$(basename "$place")" "$receipt"
    comma=', '
done
printf '}}\n'
