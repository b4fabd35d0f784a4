"""Compiled CPU kernels of the `native` back end; each is specified by its twin in `rendering._reference`."""
