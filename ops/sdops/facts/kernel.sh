# What torch says of itself and of the GPU, and whether it computes there.
