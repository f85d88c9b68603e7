# What the kernel, libcuda and the package manager say of the driver, beside nvidia-smi.
# shellcheck disable=SC2154
release=$(uname -r)
if [ -r /proc/driver/nvidia/version ] && read -r line </proc/driver/nvidia/version; then
    say module "$line"
elif [ -r /sys/module/nvidia/version ] && read -r line </sys/module/nvidia/version; then
    say module "$line"
else
    say module ""
    # Only then: whether there is one to load for this kernel.
    if [ -d "/lib/modules/$release" ]; then
        say module_file "$(find "/lib/modules/$release" -name 'nvidia.ko*' 2>/dev/null | head -n 1)"
    fi
fi
if [ -d /sys/module/nouveau ]; then say nouveau yes; else say nouveau no; fi
# The fifth byte of the variable; no such variable: no UEFI, and so no Secure Boot.
secure=no
for one in /sys/firmware/efi/efivars/SecureBoot-*; do
    [ -r "$one" ] && [ "$(od -An -tu1 -j4 -N1 "$one" 2>/dev/null | tr -d ' ')" = 1 ] && secure=yes
done
say secure_boot "$secure"
for folder in /usr/lib/x86_64-linux-gnu /usr/lib64 /usr/lib /usr/lib/x86_64-linux-gnu/nvidia/current \
    /usr/lib/wsl/lib; do
    for one in "$folder"/libcuda.so.*.* "$folder"/libnvidia-ml.so.*.*; do
        [ -f "$one" ] && say library "$one"
    done
done
if [ -r /var/lib/dpkg/status ]; then
    # Name, then status, of what is NVIDIA's: "hold ok installed", "install ok installed".
    sed -n '/^Package: \(.*nvidia.*\|libcuda1\)$/{N;s/^Package: \(.*\)\nStatus: \(.*\)$/package=\1 \2/p;}' \
        /var/lib/dpkg/status
fi
if [ -e /etc/nvidia/gridd.conf ]; then say gridd yes; else say gridd no; fi
token=no
for one in /etc/nvidia/ClientConfigToken/*; do [ -f "$one" ] && token=yes; done
say gridd_token "$token"

# libcuda is the arbiter: it is what torch asks. Any Python will do.
for python in python3 "$home/.conda/envs/$env/bin/python"; do have "$python" && break; done
if [ -z "$expect_gpu" ] || ! have "$python"; then exit 0; fi
say asked yes
"$python" -BIS -c '
import ctypes
try:
    cuda = ctypes.CDLL("libcuda.so.1")
except OSError as error:
    print("cuda_missing=%s" % error)
else:
    value = ctypes.c_int()
    if cuda.cuDriverGetVersion(ctypes.byref(value)) == 0:
        print("cuda_version=%d" % value.value)
    print("cuda_init=%d" % cuda.cuInit(0), flush=True)
    count = ctypes.c_int()
    if cuda.cuDeviceGetCount(ctypes.byref(count)) == 0:
        print("cuda_devices=%d" % count.value)
        for number in range(count.value):
            device, parts = ctypes.c_int(), []
            if cuda.cuDeviceGet(ctypes.byref(device), number) == 0:
                for attribute in (75, 76):
                    if cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device) == 0:
                        parts.append(str(value.value))
            print("cuda_capability=%s" % ".".join(parts))
'
