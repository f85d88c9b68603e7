# What the kernel and libcuda say of the driver, beside nvidia-smi.
