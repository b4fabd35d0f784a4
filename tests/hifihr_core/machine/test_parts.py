import pytest

from hifihr_core.errors import ConfigError
from hifihr_core.machine.parts import WHOLE, Part, named_part, parse_part


@pytest.mark.parametrize("count", [0, 1, 5, 12])
@pytest.mark.parametrize("of", [1, 2, 5, 7])
def test_every_item_is_in_one_part(count, of):
    parts = [Part(number, of) for number in range(1, of + 1)]
    assert [item for part in parts for item in part.run_of(count)] == list(range(count))
    assert sorted(item for part in parts for item in range(count) if part.takes(item)) == list(range(count))
    lengths = [len(part.run_of(count)) for part in parts]
    assert max(lengths) - min(lengths) <= 1


def test_words_become_parts():
    assert parse_part("3/8") == Part(3, 8)
    assert parse_part("1/1") == WHOLE
    assert Part(3, 8).name == "part-3-of-8"
    for text in ("", "3", "3/", "0/4", "5/4", "-1/4", "a/b", "1/0", "\u0663/8", "1/" + "9" * 5000):
        with pytest.raises(ConfigError, match="expected I/N"):
            parse_part(text)


def test_names_become_parts():
    assert named_part(Part(3, 8).name) == Part(3, 8)
    for name in (
        "part-0-of-4",
        "part-5-of-4",
        "part-03-of-8",
        "part-3-of-8.h5",
        "part-\u0663-of-8",
        "part-3",
        "",
        "part-1-of-" + "9" * 5000,
    ):
        assert named_part(name) is None
