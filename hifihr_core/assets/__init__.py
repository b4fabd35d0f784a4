"""External files: the registry of all assets, and the user's cache of installed ones."""

from hifihr_core.assets.registry import REGISTRY as REGISTRY
from hifihr_core.assets.registry import Asset as Asset
from hifihr_core.assets.registry import find_asset as find_asset
from hifihr_core.assets.store import asset_path as asset_path
from hifihr_core.assets.store import cache_home as cache_home
from hifihr_core.assets.store import is_installed as is_installed
