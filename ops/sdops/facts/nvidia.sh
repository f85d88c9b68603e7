# What nvidia-smi says, and whether there is an NVIDIA GPU at all.
# shellcheck disable=SC2154
count=0
if [ -d /sys/bus/pci/devices ]; then
    for one in /sys/bus/pci/devices/*/vendor; do
        [ -r "$one" ] && read -r vendor <"$one" && [ "$vendor" = 0x10de ] || continue
        # Display and 3D controllers; a card's sound and USB are devices of their own.
        read -r class <"${one%vendor}class" && case $class in 0x03*) count=$((count + 1)) ;; esac
    done
    say pci "$count"
fi
nodes=0
for one in /dev/nvidia[0-9]*; do [ -e "$one" ] && nodes=$((nodes + 1)); done
say nodes "$nodes"
PATH=$PATH:/usr/lib/wsl/lib
tool=$(command -v nvidia-smi)
say tool "$tool"
if [ -n "$tool" ]; then
    # "TERM" ends what hangs: then there is no status.
    say output ""
    nvidia-smi -q -x
    status=$?
    printf '\n'
    say status "$status"
fi
