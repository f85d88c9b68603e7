"""torch's outside, for hosts without a GPU: installed as the conda package of torch by channels.py.

It stands for the CUDA build, which is 1.2 GB and cannot be had here. It knows only what a check of an
installation asks: which CUDA it was built for, whether there is a GPU, and whether a kernel runs there.
The GPU is a file on the host, {"capability": [8, 0]}; without the file there is none. With
MKL from the version on that really breaks this torch, the import fails in torch's own words.
"""

import json
import pathlib
import sys
from types import SimpleNamespace

__version__ = "@VERSION@"
_CUDA = "@CUDA@"  # empty in the CPU build
_KERNELS = ["@KERNELS@"]
_MKL_BOUND = "@MKL_BOUND@"
_GPU = pathlib.Path("/usr/local/share/fake-torch-gpu.json")


def _fail_with_new_mkl():
    bound = tuple(int(part) for part in _MKL_BOUND.split("."))
    for record in pathlib.Path(sys.prefix, "conda-meta").glob("mkl-*.json"):
        version = json.loads(record.read_text())["version"]
        if tuple(int(part) for part in version.split(".")) >= bound:
            library = pathlib.Path(__file__).parent / "lib" / "libtorch_cpu.so"
            raise ImportError(f"{library}: undefined symbol: iJIT_NotifyEvent")


_fail_with_new_mkl()


class _Tensor:
    def sum(self):
        return self

    def item(self):
        return 8.0


def _is_available():
    return bool(_CUDA) and _GPU.exists()


def _capability(device=0):
    return tuple(json.loads(_GPU.read_text())["capability"])


def ones(size, device="cpu"):
    if device == "cuda":
        if not _is_available():
            raise RuntimeError("No CUDA GPUs are available")
        major, minor = _capability()
        if not any(int(k[3:-1]) == major and int(k[-1]) <= minor for k in _KERNELS):
            raise RuntimeError("CUDA error: no kernel image is available for execution on the device")
    return _Tensor()


version = SimpleNamespace(cuda=_CUDA or None, __version__=__version__)
cuda = SimpleNamespace(
    is_available=_is_available,
    get_arch_list=lambda: _KERNELS if _is_available() else [],
    get_device_capability=_capability,
    get_device_name=lambda device=0: "NVIDIA test GPU",
)
