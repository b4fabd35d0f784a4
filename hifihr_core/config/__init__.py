"""Settings: one frozen tree, merged from defaults, a preset, a file, `--set` and flags; and its TOML form."""

from hifihr_core.config.dumping import dump_toml as dump_toml
from hifihr_core.config.dumping import save_settings as save_settings
from hifihr_core.config.loading import find_config as find_config
from hifihr_core.config.loading import load_settings as load_settings
from hifihr_core.config.loading import presets as presets
from hifihr_core.config.named_layers import PAPER as PAPER
from hifihr_core.config.named_layers import PRETRAINING as PRETRAINING
from hifihr_core.config.named_layers import Layer as Layer
from hifihr_core.config.settings import Settings as Settings
