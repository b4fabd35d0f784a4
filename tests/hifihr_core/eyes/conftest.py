import pytest

from hifihr_core.eyes import Eyes


@pytest.fixture(scope="session")
def eyes() -> Eyes:
    return Eyes.load(threads=1)
