# The environment of the stack: its Python, packages and hook, without importing torch.
