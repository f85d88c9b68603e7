# What nvidia-smi says: the driver and the GPUs, or its error.
