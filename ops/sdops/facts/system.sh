# Release, kernel, libc, clock, account, memory, disk and what waits for a reboot.
# shellcheck disable=SC2154
# whether NAME TEST...: says yes or no.
whether() { name=$1; shift; if "$@"; then say "$name" yes; else say "$name" no; fi; }

# The clock comes first: the less there is before it, the less it seems to be off.
say clock "$(date +%s.%N 2>/dev/null)"
[ -r /etc/os-release ] && while IFS= read -r line; do
    case $line in
    ID=*) say os_id "${line#*=}" ;;
    VERSION_ID=*) say os_version "${line#*=}" ;;
    PRETTY_NAME=*) say os_name "${line#*=}" ;;
    esac
done </etc/os-release
kernel=$(uname -rm) # the release comes first, whatever the order of the letters
release=${kernel%% *}
say kernel "$release"
say architecture "${kernel##* }"
say libc "$(getconf GNU_LIBC_VERSION 2>/dev/null)"
read -r up rest </proc/uptime && say uptime "$up"
while read -r name value rest; do
    case $name in
    MemTotal:) say memory_total "$value" ;;
    MemAvailable:) say memory_available "$value"; break ;;
    esac
done </proc/meminfo

# Daemons that keep the clock right, by what they leave in /run: asking timedated would start it.
if [ -e /run/systemd/timesync/synchronized ]; then
    say ntp synchronised
elif [ -e /run/chrony/chronyd.pid ] || [ -e /run/chronyd.pid ] || [ -e /run/ntpd.pid ] ||
    [ -d /run/systemd/timesync ]; then
    say ntp running
else
    say ntp none
fi

whether reboot_required [ -e /run/reboot-required ]
if [ -r /run/reboot-required.pkgs ]; then
    while IFS= read -r line; do say reboot_package "$line"; done </run/reboot-required.pkgs
fi
for one in /boot/vmlinuz-*; do
    [ -e "$one" ] && say kernel_installed "${one#/boot/vmlinuz-}"
done
whether kernel_modules [ -d "/lib/modules/$release" ]

# Who this runs as is "uid=0(root) gid=...": number and name by one process.
login=$(id 2>/dev/null)
login=${login%% *}
login=${login#uid=}
say login_uid "${login%%(*}"
login=${login#*(}
say login "${login%)}"
python=$(command -v python3)
say python "$python"
if [ -n "$python" ]; then say python_version "$(python3 --version 2>&1)"; fi
whether tmux have tmux
if [ -x /usr/lib/openssh/sftp-server ] || [ -x /usr/libexec/openssh/sftp-server ] ||
    [ -x /usr/lib/sftp-server ] || grep -qs internal-sftp /etc/ssh/sshd_config; then
    say sftp yes
else
    say sftp no
fi
if [ -r /var/lib/dpkg/status ]; then
    # What is half-way while a package manager is at work is nobody's fault: its lock tells.
    half=$(grep -B 1 -E '^Status: .* (half-installed|half-configured|unpacked)$' /var/lib/dpkg/status)
    if [ -n "$half" ]; then
        lock=$(stat -c %i /var/lib/dpkg/lock-frontend 2>/dev/null)
        if ! grep -qs ":${lock:-none} " /proc/locks; then
            printf '%s\n' "$half" | sed -n 's/^Package: /half_installed=/p'
        fi
    fi
    say packages yes
fi

say uid "$id"
if [ -n "$id" ]; then
    say home "$home"
    entry=$(getent passwd "$user")
    say shell "${entry##*:}"
    whether home_there [ -d "$home" ]
    whether home_open [ -x "$home" ]
    whether linger [ -e "/var/lib/systemd/linger/$user" ]
    if [ -x "$home/.ssh" ] || { [ -x "$home" ] && ! [ -e "$home/.ssh" ]; }; then
        say keys "$(grep -c -v -e '^[[:space:]]*#' -e '^[[:space:]]*$' "$home/.ssh/authorized_keys" 2>/dev/null || :)"
        for one in "$home" "$home/.ssh" "$home/.ssh/authorized_keys"; do
            [ -e "$one" ] && say guarded "$(stat -L -c '%u %a %n' "$one" 2>/dev/null)"
        done
    fi
    whether env [ -e "$prefix/envs/$env/conda-meta/history" ]
fi

# Disks last: a file system behind a network that is gone never answers.
# nearest PATH: sets place to it, or to the nearest folder above it that is there.
nearest() {
    place=$1
    while [ -n "$place" ] && ! [ -e "$place" ]; do place=${place%/*}; done
    place=${place:-/}
}
own=${home:-/home/$user}
set --
for one in root:/ var:/var/lib tmp:/tmp "home:$own" "conda:$prefix" "models:$own/.cache/huggingface/hub" \
    "jobs:$own/.local/share/sdops"; do
    nearest "${one#*:}"
    say disk "${one%%:*} $place"
    set -- "$@" "$place"
done
df -P -k "$@" 2>/dev/null | sed 's/^/df=/'
df -P -i "$@" 2>/dev/null | sed 's/^/df_inodes=/'
while read -r _ mount kind options rest; do
    case $kind in squashfs | ramfs | iso9660 | cgroup* | proc | sysfs) continue ;; esac
    case ,$options, in *,ro,*) say read_only "$mount" ;; esac
done </proc/self/mounts
# Of what is not finished yet, a part may be there already. Walked through only where there is little room
# (the unit is KiB, and no stack with its model needs half of that): it takes seconds.
if [ -n "$id" ] && [ -d "$home" ] && ! [ -e "$prefix/envs/$env/conda-meta/history" ]; then
    nearest "$prefix"
    room=$(df -P -k "$place" 2>/dev/null | sed -n '2s/.* \([0-9][0-9]*\)  *[0-9][0-9]*%.*/\1/p')
    if [ "${room:-0}" -lt 30000000 ]; then
        used=$(du -skx "$home" 2>/dev/null)
        say occupied "${used%%[!0-9]*}"
    fi
fi
