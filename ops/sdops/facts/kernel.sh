# What torch says of itself and of the GPU, in the activated environment, and whether it computes there.
# shellcheck disable=SC2016,SC2154
program='
import json, os, sys, time, warnings
said = {"sdops": 1, "python": sys.version.split()[0], "path": os.environ.get("LD_LIBRARY_PATH", "")}
said["versions"], said["errors"] = {}, {}
def text(error):
    return "%s: %s" % (type(error).__name__, " ".join(str(error).split()))
def look():
    import torch
    said["versions"]["torch"] = torch.__version__
    said["cuda"] = torch.version.cuda
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        said["available"] = bool(torch.cuda.is_available())
        said["kernels"] = list(torch.cuda.get_arch_list())
        said["warnings"] = [" ".join(str(one.message).split())[:500] for one in caught]
    if hasattr(torch, "backends"):
        said["cudnn"] = torch.backends.cudnn.version()
    if expected and said["available"]:
        said["device"] = torch.cuda.get_device_name(0)
        said["capability"] = "%d.%d" % tuple(torch.cuda.get_device_capability(0))
        said["sum"] = float(torch.ones(8, device="cuda").sum().item())
expected = sys.argv[1:] == ["gpu"]
try:
    look()
except Exception as error:
    said["errors"]["computing" if "torch" in said["versions"] else "torch"] = text(error)
if "torch" in said["versions"]:
    for name in ("numpy", "PIL", "huggingface_hub", "accelerate", "transformers", "diffusers"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                said["versions"][name] = str(getattr(__import__(name), "__version__", ""))
        except Exception as error:
            said["errors"][name] = text(error)
    if not said["errors"].get("numpy"):
        try:
            import torch
            if hasattr(torch, "from_numpy"):
                torch.ones(1).numpy()
        except Exception as error:
            said["errors"]["numpy"] = text(error)
try:
    with open("/proc/self/maps") as maps:
        said["libcuda"] = sorted({line.split()[-1] for line in maps if "/libcuda.so" in line})
except OSError:
    pass
print("\n" + json.dumps(said))
'
gpu=
[ -z "$expect_gpu" ] || gpu=gpu
if [ -n "$python" ]; then
    exec "$python" -B -c "$program" $gpu
fi
# As the launcher does.
as_account bash -c '
unset PYTHONHOME PYTHONPATH LD_LIBRARY_PATH
export PYTHONNOUSERSITE=1 HF_HUB_DISABLE_TELEMETRY=1 HF_HUB_OFFLINE=1
. "$1/etc/profile.d/conda.sh" >&2 && conda activate "$2" >&2 || exit 3
exec python -B -c "$3" $4
' probe "$prefix" "$env" "$program" "$gpu"
