import gc
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from hifihr_core.augmentation.colors import (
    NOISE_LEVELS,
    change_batch,
    change_on_device,
    change_picture,
    noise_tile,
)
from hifihr_core.augmentation.draws import NO_CHANGE, AugmentRanges, draw
from hifihr_core.errors import DataError
from hifihr_core.sample_batches import stack_samples
from hifihr_core.samples import Sample
from hifihr_core.shards.reader import ShardReader
from hifihr_core.shards.schema import DatasetFacts
from hifihr_core.shards.writer import write_shard
from hifihr_core.stream import decode
from hifihr_core.stream.batch_stream import BatchStream, StreamOptions, StreamPart
from hifihr_core.stream.batching import CropPlan
from hifihr_core.stream.order import Share
from hifihr_core.stream.painting import EncodedBatch
from hifihr_core.stream.sample_sets import ChosenSamples
from hifihr_core.stream.workers import map_ahead, start_workers

SIDE = 48


def encoded(picture, extension=".jpg"):
    return cv2.imencode(extension, picture)[1].tobytes()


def make_sample(i, *, side=SIDE, extension=".jpg", mask=True, **labels):
    v, u = np.mgrid[:side, :side]
    wave = 127 + 100 * np.sin((u * (1 + i % 3) + v) / 9)
    picture = np.stack((wave, 255 - wave, np.full_like(wave, 7 * i % 255)), axis=-1).astype(np.uint8)
    shape = np.zeros((side, side), np.uint8)
    cv2.circle(shape, (side // 2, side // 2), side // 4, 255, -1)
    labels = {"joints_px": np.full((21, 2), float(i)), "bone_m": np.float32(0.03), **labels}
    return Sample(
        key=f"s{i}",
        annotation=f"s{i}",
        image=encoded(picture, extension),
        K=np.array([[60, 0, side / 2], [0, 60, side / 2], [0, 0, 1]], np.float32),
        labels={name: np.asarray(value, np.float32) for name, value in labels.items()},
        mask=encoded(shape, ".png") if mask else None,
    )


SAMPLES = [make_sample(i) for i in range(23)]
OPTIONS = StreamOptions(batch_size=4, image_px=SIDE, seed=5, augment=AugmentRanges())


def fingerprint(batches):
    return [(batch.keys, float(batch.image.sum()), float(batch.K.sum())) for batch in batches]


def test_batches_do_not_depend_on_the_number_of_workers():
    streams = [BatchStream([StreamPart(SAMPLES)], OPTIONS, num_workers=workers) for workers in (0, 1, 2)]
    epochs = [[fingerprint(stream) for _ in range(2)] for stream in streams]
    assert epochs[0] == epochs[1] == epochs[2]
    assert epochs[0][0] != epochs[0][1]
    assert len(epochs[0][0]) == len(streams[0]) == 5


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_resumes_to_the_exact_sample(workers):
    whole = fingerprint(BatchStream([StreamPart(SAMPLES)], OPTIONS))
    first = BatchStream([StreamPart(SAMPLES)], OPTIONS, num_workers=workers)
    iterator = iter(first)
    head = fingerprint([next(iterator), next(iterator)])
    state = pickle.loads(pickle.dumps(first.state_dict()))
    second = BatchStream([StreamPart(SAMPLES)], OPTIONS, num_workers=workers)
    second.load_state_dict(state)
    assert head + fingerprint(second) == whole
    assert second.state_dict() == {"seed": 5, "epoch": 1, "start": 0}


def test_an_interrupted_iteration_resumes():
    stream = BatchStream([StreamPart(SAMPLES)], OPTIONS)
    seen = [next(iter(stream)).keys for _ in range(5)]
    assert seen == [batch.keys for batch in BatchStream([StreamPart(SAMPLES)], OPTIONS)]


def test_ranks_see_each_sample_once():
    options = replace(OPTIONS, drop_last=False)
    parts = [BatchStream([StreamPart(SAMPLES)], options, share=Share(rank, 3)) for rank in range(3)]
    seen = [key for stream in parts for batch in stream for key in batch.keys]
    assert sorted(seen) == sorted(sample.key for sample in SAMPLES)


def test_a_state_of_another_seed_is_refused():
    stream = BatchStream([StreamPart(SAMPLES)], OPTIONS)
    with pytest.raises(ValueError, match="position has seed 6, expected that of the stream, 5"):
        stream.load_state_dict({"seed": 6, "epoch": 0, "start": 0})


def test_evaluation_sees_the_stored_pixels_in_order():
    options = StreamOptions(batch_size=8, image_px=SIDE, shuffle=False, drop_last=False)
    batches = list(BatchStream([StreamPart(SAMPLES)], options))
    assert [key for batch in batches for key in batch.keys] == [sample.key for sample in SAMPLES]
    stored = cv2.cvtColor(cv2.imdecode(np.frombuffer(SAMPLES[3].image, np.uint8), 1), cv2.COLOR_BGR2RGB)
    np.testing.assert_allclose(batches[0].image[3].permute(1, 2, 0) * 255, stored, atol=1e-4)
    np.testing.assert_array_equal(batches[0].K[3], SAMPLES[3].K)
    assert batches[0].labels["mask"].dtype == torch.bool
    assert batches[0].labels["mask"][0].sum() > 300
    assert list(map(len, batches)) == [8, 8, 7]


def test_datasets_mix_by_weight():
    other = [make_sample(i) for i in range(100, 110)]
    options = replace(OPTIONS, epoch_length=40)
    stream = BatchStream([StreamPart(SAMPLES, weight=1.0), StreamPart(other, weight=3.0)], options)
    keys = [key for batch in stream for key in batch.keys]
    assert len(keys) == 40
    assert sum(int(key[1:]) >= 100 for key in keys) == 30


def test_a_label_that_some_lack_is_absent_there():
    mixed = [make_sample(0), make_sample(1, mask=False, pose=np.ones(45))]
    batch = EncodedBatch(stack_samples(tuple(mixed)), (None, None), CropPlan(image_px=SIDE)).paint().to_batch()
    assert batch.present["pose"].tolist() == [False, True]
    assert batch.labels["pose"].sum(1).tolist() == [0, 45]
    assert batch.present["mask"].tolist() == [True, False]
    assert not batch.labels["mask"][1].any()
    assert batch.present["bone_m"].all()
    assert batch.labels["bone_m"].shape == (2,)


def test_samples_without_labels_make_a_batch():
    bare = Sample(key="a", annotation="a", image=SAMPLES[0].image, K=SAMPLES[0].K, labels={})
    batch = EncodedBatch(stack_samples((bare,)), (2.0,), CropPlan(image_px=32)).paint().to_batch()
    assert batch.image.shape == (1, 3, 32, 32)
    assert dict(batch.labels) == {}


def test_labels_of_two_hand_models_do_not_mix():
    mixed = (make_sample(0, pose=np.ones(45)), make_sample(1, pose=np.ones(20)))
    with pytest.raises(DataError, match=r"s1: pose has shape \(20,\), expected \(45,\)"):
        EncodedBatch(stack_samples(mixed), (None, None), CropPlan(image_px=SIDE)).paint()


def test_a_broken_picture_is_named():
    broken = replace(make_sample(7), image=b"no picture")
    with pytest.raises(DataError, match="s7: the picture cannot be decoded"):
        EncodedBatch(stack_samples((broken,)), (None,), CropPlan(image_px=SIDE)).paint()


def test_a_broken_picture_in_a_worker_stops_the_stream_with_its_name():
    samples = [*SAMPLES[:5], replace(make_sample(7), image=b"")]
    stream = BatchStream([StreamPart(samples)], StreamOptions(batch_size=2, image_px=SIDE), num_workers=1)
    with pytest.raises(DataError, match="s7: the picture"):
        list(stream)


@pytest.mark.parametrize("augment", [None, AugmentRanges(jpeg_probability=0.0, noise_probability=1.0)])
def test_the_device_path_is_the_twin_of_the_workers(augment):
    samples = tuple(make_sample(i, side=60 if i % 2 else SIDE, extension=".png", mask=i % 3 > 0) for i in range(8))
    raw = EncodedBatch(stack_samples(samples), (None,) * 8, CropPlan(image_px=SIDE, augment=augment), epoch=2)
    fast, slow = raw.paint().to_batch(), raw.to_batch("cpu")
    torch.testing.assert_close(slow.K, fast.K)
    assert slow.labels.keys() == fast.labels.keys()
    for name in fast.present:
        assert torch.equal(fast.present[name], slow.present[name])
    torch.testing.assert_close(slow.labels["joints_px"], fast.labels["joints_px"])
    assert (slow.labels["mask"] != fast.labels["mask"]).float().mean() < 0.005
    difference = (slow.image - fast.image).abs()
    assert difference.mean() < 2 / 255
    assert torch.quantile(difference.flatten(), 0.99) < 6 / 255


def test_colours_of_both_twins_agree():
    ranges = replace(AugmentRanges(), gamma_probability=1.0, noise_probability=1.0, blur_probability=1.0)
    ranges = replace(ranges, cover_probability=1.0, jpeg_probability=0.0)
    random = np.random.default_rng(0)
    pictures = cv2.GaussianBlur(random.integers(0, 255, (6 * 40, 40, 3)).astype(np.uint8), (0, 0), 1.5)
    pictures = pictures.reshape(6, 40, 40, 3)
    draws = draw(ranges, [str(b) for b in range(6)], seed=0, epoch=0, image_px=40)
    visible = np.ones((6, 40, 40), np.uint8)
    image = torch.from_numpy(pictures.transpose(0, 3, 1, 2) / 255.0)
    slow, seen = change_batch(image, torch.ones(6, 40, 40, dtype=torch.bool), draws)
    for b in range(6):
        change_picture(pictures[b], visible[b], draws.pixel_changes[b])
    assert (slow - torch.from_numpy(pictures.transpose(0, 3, 1, 2) / 255.0)).abs().max() < 8 / 255
    assert (slow - torch.from_numpy(pictures.transpose(0, 3, 1, 2) / 255.0)).abs().mean() < 1 / 255
    np.testing.assert_array_equal(seen.numpy(), visible.astype(bool))
    assert not seen.all()


def test_no_change_leaves_every_pixel():
    picture = np.random.default_rng(0).integers(0, 255, (16, 16, 3)).astype(np.uint8)
    changed = picture.copy()
    change_picture(changed, None, draw(NO_CHANGE, ["a"], seed=0, epoch=0, image_px=16).pixel_changes[0])
    np.testing.assert_array_equal(changed, picture)


def test_compression_keeps_the_colours_in_place():
    ranges = replace(NO_CHANGE, jpeg_probability=1.0, jpeg_quality=(85, 90))
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[..., 0] = 200
    change_picture(picture, None, draw(ranges, ["a"], seed=0, epoch=0, image_px=32).pixel_changes[0])
    np.testing.assert_allclose(picture.mean((0, 1)), (200, 0, 0), atol=6)


def test_the_noise_is_normal():
    tile = noise_tile(64)
    assert abs(tile.mean()) < 0.02
    assert abs(tile.std() - 1) < 0.02
    ranges = replace(NO_CHANGE, noise_probability=1.0, noise=0.08)
    draws = draw(ranges, [str(i) for i in range(40)], seed=0, epoch=0, image_px=64)
    loudest = int(draws.noise.argmax())
    picture = np.full((64, 64, 3), 128, np.uint8)
    change_picture(picture, None, draws.pixel_changes[loudest])
    level = np.rint(draws.noise[loudest] / 0.08 * NOISE_LEVELS) / NOISE_LEVELS * 0.08
    assert abs(picture.std() / 255 - level) < 0.003
    assert abs(picture.mean() - 128) < 0.5


def test_the_workers_end_with_the_stream():
    def at_work():
        return [thread for thread in threading.enumerate() if thread.name.startswith("hifihr-data")]

    others = len(at_work())
    stream = BatchStream([StreamPart(SAMPLES)], OPTIONS, num_workers=2)
    batches = iter(stream)
    next(batches)
    assert len(at_work()) > others
    del batches, stream
    gc.collect()
    deadline = time.monotonic() + 120
    while len(at_work()) > others and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(at_work()) == others


def test_workers_leave_the_threads_of_others_alone():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        pool = start_workers(2, torch.device("cpu"))
        assert [pool.submit(torch.get_num_threads).result() for _ in range(4)] == [1] * 4
        assert torch.get_num_threads() == 2
        with ThreadPoolExecutor(1) as other:
            assert other.submit(torch.get_num_threads).result() == 2
    finally:
        torch.set_num_threads(before)


def test_work_ahead_stays_in_order_and_within_its_bound():
    begun = []

    def slow(task):
        begun.append(task)
        time.sleep(0.01 if task % 2 else 0)
        return task

    with ThreadPoolExecutor(3) as pool:
        results = map_ahead(pool, slow, range(20), ahead=4)
        assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
        assert max(begun) <= 9
        results.close()
    assert max(begun) <= 9


def test_pictures_of_any_size_and_format_share_the_memory_they_are_drawn_in():
    sizes, extensions = (60, 30, 90, 48), (".jpg", ".png", ".webp", ".bmp")
    samples = [make_sample(i, side=sizes[i % 4], extension=extensions[i // 4]) for i in range(16)]
    plan = CropPlan(image_px=SIDE, augment=AugmentRanges())
    together = EncodedBatch(stack_samples(tuple(samples)), (None,) * 16, plan).paint()
    for b, sample in enumerate(samples):
        alone = EncodedBatch(stack_samples((sample,)), (None,), plan).paint()
        assert torch.equal(alone.painted.image[0], together.painted.image[b])
        assert torch.equal(alone.painted.visible[0], together.painted.visible[b])


@pytest.mark.parametrize(
    "options", [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_decodes_to_the_pixels_that_opencv_reads(options, channels):
    picture = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, channels)).astype(np.uint8), (0, 0), 1
    )
    content = cv2.imencode(".jpg", picture, options)[1]
    sample = replace(make_sample(0), image=content.tobytes())
    batch = EncodedBatch(stack_samples((sample,)), (None,), CropPlan(image_px=SIDE)).paint()
    expected = cv2.cvtColor(cv2.imdecode(content, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.abs(batch.painted.image[0].numpy().astype(int) - expected).max() <= 1


@pytest.mark.parametrize("size", [(640, 480), (333, 251)])
@pytest.mark.parametrize("shown", [0.45, 0.24, 0.11])
def test_a_jpeg_that_is_shown_small_is_decoded_small_and_stays_in_place(size, shown, monkeypatch):
    """The crop is that of the whole picture, averaged, and a dot stays at its label."""
    width, height = size
    v, u = np.mgrid[:height, :width] + 0.5
    x, y = 0.52 * width, 0.47 * height
    dot = np.exp(-((u - x) ** 2 + (v - y) ** 2) / (2 * (0.08 * height) ** 2))
    picture = np.repeat(np.rint(255 * dot).astype(np.uint8)[..., None], 3, axis=2)
    side = round(shown * max(size))
    sample = replace(
        make_sample(0, mask=False, joints_px=np.tile([x, y], (21, 1))),
        image=cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, 98))[1].tobytes(),
        mask=encoded(np.where(dot > 0.5, 255, 0).astype(np.uint8), ".png"),
    )
    ranges = replace(NO_CHANGE, rotation_rad=1.0)
    raw = EncodedBatch(stack_samples((sample,)), (None,), CropPlan(image_px=side, augment=ranges))
    sizes = decoded_sizes(monkeypatch)
    batch = raw.paint().to_batch()
    assert sizes[0][0] <= 0.51 * height
    weights = batch.image[0, 1].double()
    centers = torch.arange(side) + 0.5
    found = torch.stack(((weights.sum(0) * centers).sum(), (weights.sum(1) * centers).sum())) / weights.sum()
    torch.testing.assert_close(found.float(), batch.labels["joints_px"][0, 0], atol=0.1, rtol=0)
    monkeypatch.setattr(decode, "_decoding_factor", lambda *_: 1)
    whole = raw.paint().to_batch()
    assert (batch.image - whole.image).abs().max() < 8 / 255
    assert (batch.labels["mask"] != whole.labels["mask"]).float().mean() < 0.02


def decoded_sizes(monkeypatch):
    """Return a list that fills with the sizes to which pictures are decoded."""
    sizes, into = [], decode._decode_into

    def watched(sample, out, factor=1):
        sizes.append(out.shape[:2])
        into(sample, out, factor)

    monkeypatch.setattr(decode, "_decode_into", watched)
    return sizes


def test_a_jpeg_that_only_opencv_reads_is_shrunk_after_decoding(monkeypatch):
    sample = make_sample(2, side=96)
    raw = EncodedBatch(stack_samples((sample,)), (None,), CropPlan(image_px=24))
    direct = raw.paint().painted.image

    def refuse(*_, **__):
        raise ValueError("a rare kind of JPEG")

    monkeypatch.setattr(decode.simplejpeg, "decode_jpeg", refuse)
    difference = raw.paint().painted.image.int() - direct.int()
    assert (
        difference.abs().float().mean() < 5
    )  # colours are averaged before their range is cut in one, after it in the other


def test_floats_are_written_as_the_bytes_say():
    for augment in (None, AugmentRanges()):
        raw = EncodedBatch(stack_samples(tuple(SAMPLES[:6])), (None,) * 6, CropPlan(image_px=SIDE, augment=augment))
        at_once, later = raw.paint(floats=True).to_batch(), raw.paint().to_batch()
        assert torch.equal(at_once.image, later.image)
        assert at_once.image.stride() == later.image.stride()


def test_samples_in_shards_and_in_memory_make_the_same_batches(tmp_path):
    facts = DatasetFacts(dataset="toy", split="train", version="1", licence="free", joint_definition="freihand")
    write_shard(tmp_path / "a.h5", SAMPLES, facts=facts, software="t")
    more = [make_sample(i, pose=np.ones(45)) for i in range(100, 107)]
    write_shard(tmp_path / "b.h5", more, facts=facts, software="t")
    chosen = ChosenSamples(ShardReader(tmp_path / "a.h5"), np.arange(20))
    stored = BatchStream([StreamPart(chosen), StreamPart(ShardReader(tmp_path / "b.h5"))], OPTIONS)
    held = BatchStream([StreamPart(SAMPLES[:20]), StreamPart(more)], OPTIONS)
    for one, other in zip(stored, held, strict=True):
        assert one.keys == other.keys
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.K, other.K)
        assert one.labels.keys() == other.labels.keys()
        for name in other.labels:
            assert torch.equal(one.labels[name], other.labels[name])
            assert torch.equal(one.present[name], other.present[name])


class Afar:
    """Samples in three shards, one of which is in use at a time; records the announced and requested samples."""

    window = 1

    def __init__(self, samples):
        self.samples, self.shards = samples, np.arange(len(samples)) // 8
        self.told, self.asked = [], []

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, position):
        self.asked.append(position)
        return self.samples[position]

    def expect(self, order):
        self.told = order.tolist()


def test_remote_samples_are_read_shard_by_shard_in_the_announced_order():
    afar, near = Afar(SAMPLES), [make_sample(i) for i in range(100, 110)]
    options = replace(OPTIONS, drop_last=False)
    stream = BatchStream([StreamPart(near), StreamPart(afar)], options)
    keys = [key for batch in stream for key in batch.keys]
    assert sorted(keys) == sorted(sample.key for sample in [*near, *SAMPLES])
    assert afar.asked == afar.told
    uses = afar.shards[afar.asked]
    assert (np.diff(uses) != 0).sum() == 2
    shares = [sum(int(key[1:]) >= 100 for key in keys[start : start + 11]) for start in (0, 11, 22)]
    assert min(shares) > 0  # near samples stay spread over the epoch
    stream.load_state_dict({"seed": 5, "epoch": 0, "start": 12})
    afar.asked.clear()
    rest = [key for batch in stream for key in batch.keys]
    assert rest == keys[12:]
    assert afar.asked == afar.told


def test_a_float_batch_on_the_cpu_is_the_twin_of_torch_alone():
    ranges = replace(AugmentRanges(), gamma_probability=0.6, noise_probability=0.6, blur_probability=0.6)
    ranges = replace(ranges, cover_probability=0.6)
    image = torch.rand(12, 3, 40, 52, generator=torch.Generator().manual_seed(0))
    before, visible = image.clone(), torch.ones(12, 40, 52, dtype=torch.bool)
    draws = draw(ranges, [str(b) for b in range(12)], seed=1, epoch=0, image_px=40)
    (fast, fast_seen), (slow, slow_seen) = (f(image, visible, draws) for f in (change_batch, change_on_device))
    assert (fast - slow).abs().max() < 2e-5
    assert torch.equal(fast_seen, slow_seen)
    assert torch.equal(image, before)
    turned = image.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)  # channels last
    assert torch.equal(change_batch(turned, None, draws)[0], fast)
