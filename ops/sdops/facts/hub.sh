# Whether the model hub answers, by what there is: curl, Python, wget or at least bash. No token goes along.
# shellcheck disable=SC2154
address=${hub%/}
case $model in
demo | /* | .* | "~"*) ;;
*)
    rest=${revision:-main}
    while case $rest in */*) true ;; *) false ;; esac; do rest=${rest%%/*}%2F${rest#*/}; done
    address=$address/$model/resolve/$rest/model_index.json
    ;;
esac
# told TOOL STATUS TEXT: what came of it.
told() {
    say tool "$1"
    say exit "$2"
    printf '%s\n' "$3" | sed 's/^/said=/'
}
limit=
if have timeout; then limit="timeout -k 1 9"; fi
if have curl; then
    said=$(curl -q -sS -I --connect-timeout 5 -m 8 -A sdops "$address" 2>&1)
    told curl $? "$said"
elif have python3; then
    # $limit is several words. Python's own names of errors say what a code of curl's says.
    # shellcheck disable=SC2086
    said=$($limit python3 -I -S -c '
import sys, urllib.error, urllib.request
class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None
asked = urllib.request.Request(sys.argv[1], method="HEAD", headers={"User-Agent": "sdops"})
try:
    answer = urllib.request.build_opener(Stay).open(asked, timeout=5)
except urllib.error.HTTPError as error:
    answer = error
except Exception as error:
    reason = getattr(error, "reason", error)
    sys.exit("%s: %s" % (type(reason).__name__, reason))
print("HTTP/1.1", answer.status)
print(answer.headers)
' "$address" 2>&1)
    told python3 $? "$said"
elif have wget; then
    # shellcheck disable=SC2086
    said=$($limit wget --no-hsts --spider -S -T 5 -t 1 --max-redirect=0 -U sdops "$address" 2>&1)
    told wget $? "$said"
elif have bash && [ -n "$limit" ]; then
    host=${address#*://}
    host=${host%%/*}
    host=${host##*@}
    case $address in https:*) port=443 ;; *) port=80 ;; esac
    case $host in *:*) port=${host##*:} ;; esac
    # shellcheck disable=SC2016,SC2086
    said=$($limit bash -c 'exec 3<>"/dev/tcp/$1/$2"' - "${host%:*}" "$port" 2>&1)
    told bash $? "$said"
else
    say tool none
fi
