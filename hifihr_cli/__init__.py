"""The command line `hifihr`: one file per command, each a thin layer over one function of `hifihr_core`."""
