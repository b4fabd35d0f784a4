"""`python -m hifihr_cli`: the same program as `hifihr`, for launchers that need a module (torchrun)."""

from hifihr_cli.start import run

run()
