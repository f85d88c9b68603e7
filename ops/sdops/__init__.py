"""sdops: turns fresh GPU VMs into Stable Diffusion img2img hosts and runs work on them."""

from sdops_runtime import __version__

__all__ = ["__version__"]
