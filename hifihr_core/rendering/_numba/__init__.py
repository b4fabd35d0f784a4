"""The compiled CPU kernels behind the `native` back end; each is specified by its twin in `rendering._reference`."""
