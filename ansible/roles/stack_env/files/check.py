"""check.py CUDA [gpu]: whether torch is the build for this CUDA and, with "gpu", really computes there.

CUDA empty: whichever. Runs in the activated environment, on its Python. Says in one line what is wrong.
"""

import os
import sys
from pathlib import Path

wanted, gpu = sys.argv[1], sys.argv[2:] == ["gpu"]


def main():
    libraries = str(Path(os.environ["CONDA_PREFIX"]) / "lib")
    if libraries not in os.environ.get("LD_LIBRARY_PATH", "").split(":"):
        return f"{libraries} is not in LD_LIBRARY_PATH after the environment was activated."
    try:
        import torch
    except Exception as error:
        return f"torch cannot be imported: {error}"
    if wanted and torch.version.cuda != wanted:
        return f"torch {torch.__version__} is built for CUDA {torch.version.cuda} and not for {wanted}."
    if not gpu:
        return ""
    if not torch.cuda.is_available():
        return (
            "torch sees no GPU. nvidia-smi tells what the driver says; "
            "set sdops_expect_gpu: false if there is none."
        )
    # is_available() is true on a GPU that torch has no kernels for, too: compute something.
    device = "{} ({}.{})".format(torch.cuda.get_device_name(0), *torch.cuda.get_device_capability(0))
    try:
        total = torch.ones(8, device="cuda").sum().item()
    except Exception as error:
        kernels = " ".join(torch.cuda.get_arch_list())
        return f"torch does not compute on {device}: {error}. It has kernels for {kernels}."
    return "" if total == 8 else f"torch computes wrongly on {device}: the sum of 8 ones is {total}."


sys.exit(main() or 0)
