import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hifihr_core.randomness import shuffled, stream_bits, uniforms
from hifihr_core.stream.order import Share, batches, count_batches, epoch_order, in_windows, mixed_order


def test_the_order_of_an_epoch_never_changes():
    """Golden: a resumed run must find the same order, even after an update of numpy."""
    assert epoch_order(8, seed=0, epoch=0).tolist() == GOLDEN_ORDER
    np.testing.assert_allclose(uniforms(["a", "b"], 2, 0, 0), GOLDEN_UNIFORMS, rtol=0, atol=1e-15)


@given(length=st.integers(0, 200), seed=st.integers(-5, 2**70), epoch=st.integers(0, 1000))
def test_an_epoch_visits_every_sample_once(length, seed, epoch):
    assert sorted(epoch_order(length, seed=seed, epoch=epoch)) == list(range(length))


def test_epochs_and_seeds_differ():
    orders = {tuple(epoch_order(50, seed=s, epoch=e)) for s in range(3) for e in range(3)}
    assert len(orders) == 9


@given(
    length=st.integers(0, 120),
    batch_size=st.integers(1, 9),
    world_size=st.integers(1, 5),
    drop_last=st.booleans(),
)
def test_ranks_share_an_epoch_without_overlap_or_loss(length, batch_size, world_size, drop_last):
    order = epoch_order(length, seed=1, epoch=2)
    shares = [Share(rank, world_size) for rank in range(world_size)]
    parts = [list(batches(order, batch_size, share=share, drop_last=drop_last)) for share in shares]
    assert [len(part) for part in parts] == [
        count_batches(length, batch_size, share=share, drop_last=drop_last) for share in shares
    ]
    seen = [int(i) for part in parts for batch in part for i in batch]
    assert len(seen) == len(set(seen))
    step = batch_size * world_size
    expected = order[: length // step * step] if drop_last else order
    assert sorted(seen) == sorted(expected.tolist())
    if drop_last:
        assert {len(part) for part in parts} == {length // step}


@given(done=st.integers(0, 10), world_size=st.integers(1, 3))
def test_a_resumed_epoch_continues_where_it_stopped(done, world_size):
    order = epoch_order(97, seed=3, epoch=0)
    share = Share(world_size - 1, world_size)
    whole = list(batches(order, 4, share=share))
    rest = list(batches(order, 4, share=share, start=done * 4 * world_size))
    assert [b.tolist() for b in rest] == [b.tolist() for b in whole[done:]]


def test_a_run_resumes_on_another_number_of_ranks():
    order = epoch_order(96, seed=0, epoch=0)
    before = [b for rank in range(2) for b in list(batches(order, 8, share=Share(rank, 2)))[:3]]
    after = [b for rank in range(3) for b in batches(order, 8, share=Share(rank, 3), start=48)]
    assert sorted(np.concatenate(before + after).tolist()) == list(range(96))


def test_a_mixture_keeps_its_weights_and_loses_nothing():
    order = mixed_order((100, 50), (3.0, 1.0), seed=0, epoch=0, epoch_length=80)
    assert (order < 100).sum() == 60
    assert (order >= 100).sum() == 20
    assert len(set(order.tolist())) == 80


def test_a_mixture_sees_every_sample_equally_often_over_epochs():
    epochs = [mixed_order((10, 7), (1.0, 1.0), seed=0, epoch=epoch, epoch_length=20) for epoch in range(7)]
    counts = np.bincount(np.concatenate(epochs), minlength=17)
    assert (counts[:10] == 7).all()
    assert (counts[10:] == 10).all()


def test_a_dataset_with_weight_zero_may_be_empty():
    assert (mixed_order((4, 0), (1.0, 0.0), seed=0, epoch=0) < 4).all()
    with pytest.raises(ValueError, match="expected samples in every dataset"):
        mixed_order((4, 0), (1.0, 1.0), seed=0, epoch=0)
    with pytest.raises(ValueError, match="expected 2 numbers"):
        mixed_order((4, 4), (1.0,), seed=0, epoch=0)


def test_uniform_numbers_belong_to_their_key():
    both = uniforms(["a", "b"], 5, 7, 1, "x")
    np.testing.assert_array_equal(both[1:], uniforms(["b"], 5, 7, 1, "x"))
    np.testing.assert_array_equal(both[:, :3], uniforms(["a", "b"], 3, 7, 1, "x"))
    assert not np.array_equal(both, uniforms(["a", "b"], 5, 7, 2, "x"))


def test_uniform_numbers_are_uniform():
    values = uniforms([str(i) for i in range(400)], 50, 0)
    assert values.min() >= 0
    assert values.max() < 1
    counts, _ = np.histogram(values, bins=20)
    assert abs(counts - 1000).max() < 5 * np.sqrt(1000)
    assert abs(np.corrcoef(values[:, :10].T) - np.eye(10)).max() < 0.25


def test_a_rank_outside_the_world_is_refused():
    with pytest.raises(ValueError, match="rank is 2, expected 0 to 1"):
        Share(2, 2)


def test_streams_of_different_names_differ():
    assert stream_bits(0, "a") != stream_bits(0, "b")
    assert shuffled(20, 0, "a").tolist() != shuffled(20, 0, "b").tolist()


GOLDEN_ORDER = [0, 1, 6, 7, 3, 4, 5, 2]
GOLDEN_UNIFORMS = [[0.13055191029899138, 0.8341633097583702], [0.40384370801160874, 0.7798419830856554]]


@pytest.mark.parametrize("window", [1, 2, 3, 9])
def test_few_shards_are_in_use_at_a_time(window):
    shards = np.repeat(np.arange(5), (4, 7, 1, 5, 3))
    draws = epoch_order(20, seed=0, epoch=0)
    found = in_windows(draws, shards, window=window, seed=0, epoch=0)
    assert sorted(found) == list(range(20))
    uses = shards[found]
    order = list(dict.fromkeys(uses.tolist()))
    for start in range(0, 5, window):
        places = np.flatnonzero(np.isin(uses, order[start : start + window]))
        assert places[-1] - places[0] + 1 == len(places)
    others = [in_windows(draws, shards, window=window, seed=0, epoch=epoch).tolist() for epoch in range(8)]
    assert (len({tuple(other) for other in others}) > 1) == (window < 5)
    if window >= 5:
        assert found.tolist() == draws.tolist()
