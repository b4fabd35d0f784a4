import pickle

import numpy as np

from hifihr_core.shards.folder import ShardSet
from hifihr_core.shards.packing import Policy
from hifihr_core.sources.contract import Request
from hifihr_core.sources.prepare import prepare
from hifihr_core.sources.table import find_source
from hifihr_core.stream.batch_stream import BatchStream, StreamOptions, StreamPart
from hifihr_core.synthesis import SynthOptions

OPTIONS = SynthOptions(image_px=48, backgrounds=4)


def request(tmp_path, **options):
    return Request(tmp_path, options={"count": 20, "evaluation": 3, "seed": 2, "options": OPTIONS, **options})


def test_shards_hold_what_the_generator_makes(tmp_path):
    done = prepare(find_source("synth"), request(tmp_path), tmp_path / "a", policy=Policy())
    assert {index.facts.split: index.samples for index in done.values()} == {"train": 20, "evaluation": 3}
    shards = ShardSet(tmp_path / "a" / "train")
    assert shards.index.facts.hand == "anny"
    assert shards.index.facts.licence == "free"
    train, _ = find_source("synth").open(request(tmp_path))
    again = list(pickle.loads(pickle.dumps(train)).read(17, 20))
    assert [shards[i].image for i in (17, 18, 19)] == [sample.image for sample in again]
    other, _ = find_source("synth").open(request(tmp_path, seed=3))
    assert next(other.read(0, 1)).image != shards[0].image


def test_the_stream_reads_them(tmp_path):
    prepare(find_source("synth"), request(tmp_path, evaluation=0), tmp_path / "a", policy=Policy())
    stream = BatchStream([StreamPart(ShardSet(tmp_path / "a" / "train"))], StreamOptions(batch_size=5, image_px=48))
    batches = list(stream)
    assert sorted(key for batch in batches for key in batch.keys) == [f"{i:08d}" for i in range(20)]
    joints = batches[0].labels["joints_cam"].numpy() @ batches[0].K.numpy().transpose(0, 2, 1)
    np.testing.assert_allclose(joints[..., :2] / joints[..., 2:], batches[0].labels["joints_px"], atol=2e-3)
