# The runtime: its files, its service and its queue.
# shellcheck disable=SC2154
say account "$id"
[ -n "$id" ] || exit 0
if ! [ -x "$home" ]; then
    say home hidden
    exit 0
fi
say home yes
lib=$home/.local/lib/sdops
if [ -f "$lib/receipt.json" ]; then
    say receipt "$(head -c 4096 <"$lib/receipt.json" 2>/dev/null | tr '\r\n' '  ')"
else
    say receipt ""
fi
if [ -f "$lib/sdops-runtime.pyz" ]; then
    digest=$(sha256sum <"$lib/sdops-runtime.pyz" 2>/dev/null)
    say archive "${digest%% *}"
else
    say archive none
fi
launcher=$home/.local/bin/sdops-runtime
python=
if [ -x "$launcher" ]; then
    say launcher yes
    # What it starts, as the playbook wrote it there: python='...', or without quotation marks.
    while IFS= read -r line; do
        case $line in python=*) python=${line#python=}; break ;; esac
    done <"$launcher"
    python=${python#\'}
    python=${python%\'}
    say python "$python"
    if [ -x "$python" ]; then say python_there yes; else say python_there no; fi
elif [ -e "$launcher" ]; then
    say launcher unusable
else
    say launcher none
fi
unit=$home/.config/systemd/user
if [ -f "$unit/sdops-runtime.service" ]; then say unit yes; else say unit no; fi
if [ -L "$unit/default.target.wants/sdops-runtime.service" ]; then say enabled yes; else say enabled no; fi

# Both by one change of user: the account's own systemd is asked, and the queue is read. Its files are only
# looked at. A write that is under way has a journal beside them, which SQLite has to be told to regard; else
# it is told that nothing changes, and so makes no files of its own.
queue=${XDG_DATA_HOME:-$home/.local/share}/sdops
[ "$(id -u)" = "$id" ] || queue=$home/.local/share/sdops
if [ -S "/run/user/$id/systemd/private" ]; then
    say manager yes
elif [ -x "/run/user/$id" ] || ! [ -e "/run/user/$id" ]; then
    say manager no
fi
if [ -e "$queue/queue.sqlite" ]; then
    say queue "$(stat -c '%u %U' "$queue/queue.sqlite" 2>/dev/null)"
else
    say queue none
fi
# shellcheck disable=SC2016
said=$(as_account sh -c '
if [ -S "$XDG_RUNTIME_DIR/systemd/private" ]; then
    systemctl --user show sdops-runtime.service --property LoadState,ActiveState,SubState,Result,NRestarts,MainPID,StatusText,UnitFileState 2>&1 |
        sed "s/^/service=/"
fi
[ -e "$1" ] || exit 0
for python in python3 "$2"; do
    command -v "$python" >/dev/null 2>&1 || continue
    if [ -s "$1-wal" ]; then how=ro; else how="ro&immutable=1"; fi
    "$python" -I -S -c "
import sqlite3, sys, urllib.parse
try:
    base = sqlite3.connect(\"file:\" + urllib.parse.quote(sys.argv[1]) + \"?mode=\" + sys.argv[2], uri=True, timeout=2)
    for state, number in base.execute(\"SELECT state, count(*) FROM jobs GROUP BY state\"):
        print(\"jobs=%s %d\" % (state, number))
    for (name,) in base.execute(\"SELECT id FROM jobs WHERE state = ? ORDER BY number\", (\"running\",)):
        print(\"running=%s\" % name)
    print(\"queue_read=yes\")
except sqlite3.Error as error:
    print(\"queue_read=%s\" % error)
" "$1" "$how" && exit 0
done
' - "$queue/queue.sqlite" "${python:-/nonexistent}" 2>&1)
printf '%s\n' "$said"
# A worker that ends with an error has said why.
case $said in
*service=ActiveState=failed* | *service=SubState=auto-restart*)
    journalctl -q --no-pager -o cat -n 3 "_UID=$id" _SYSTEMD_USER_UNIT=sdops-runtime.service 2>/dev/null |
        sed 's/^/journal=/'
    ;;
esac
# The worker, and whether it runs on the environment that is there now.
worker=
for one in "" /systemd; do
    one=/sys/fs/cgroup$one/user.slice/user-$id.slice/user@$id.service/app.slice/sdops-runtime.service/cgroup.procs
    [ -r "$one" ] && read -r worker <"$one" && break
done
if [ -n "$worker" ] && [ -n "$python" ]; then
    if [ "/proc/$worker/exe" -ef "$python" ]; then say current yes; else say current "$(readlink "/proc/$worker/exe")"; fi
fi
say whole yes
