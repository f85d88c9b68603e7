"""Stands for Anaconda's servers, conda-forge and the conda program, none of which the tests can reach.

``mirror.ready()`` gives a folder that is laid out like the real places together:

    miniconda/Miniconda3-…-Linux-x86_64.sh     installers; what they install is program.py
    channels/conda-forge/linux-64/…            packages named and built like the real ones
    channels/pytorch/…, channels/main/…        (main: what ``defaults`` means)

Served by HTTP it is a mirror, and the roles get to know it by the variables that a person behind a
mirror sets. What runs is real where that can be had: CPython, numpy, pip; solving, hash checks,
linking and prefix replacement by the rattler library. Only torch and CUDA are shells (see torch_shell).
"""
