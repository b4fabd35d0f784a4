"""The command line `hifihr`: one file per command, each thin over one function of `hifihr_core`."""
