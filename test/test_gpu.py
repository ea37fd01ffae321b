"""On a GPU: the same texts as on the CPU, graphs that keep to their own memory, and faults that no CPU can have.

Skipped where there is none.
"""

import csv
from dataclasses import replace

import httpx
import numpy as np
import pytest
import torch
from conftest import CLIPS
from fakes import clip
from test_main import service_of

from src.asr.faults import MemoryExhausted
from src.asr.model import NemoModel
from src.asr.streaming import Step
from src.asr.transcript import text_of
from src.audio.decode import decode
from src.settings import Settings

# What it asserts cannot be had from a CPU.
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

MOST = 8
WITH_A_GPU_THAT_BREAKS = """
import torch
from src.__main__ import run_and_exit
from src.asr.model import NemoModel


def load(settings):
    model = NemoModel.load(settings)
    encode, batches = model._encode, iter(range(3))

    def breaking(*batch):
        if next(batches, None) is None:  # an index out of range: the device asserts, and answers no more
            torch.zeros(10, device="cuda")[torch.tensor([99999], device="cuda")]
        return encode(*batch)

    model._encode = breaking
    return model


run_and_exit(load)
"""


def load(dtype="bfloat16", **settings):
    return NemoModel.load(Settings(model_id="tiny", device="cuda", dtype=dtype, microbatch_max_batch=MOST, **settings))


@pytest.fixture(scope="module")
def speech():
    """Samples of the bundled clips, but for the long ones."""
    with (CLIPS / "transcripts.tsv").open() as file:
        names = [row["file"] for row in csv.DictReader(file, delimiter="\t") if not row["file"].startswith("long-")]
    return [decode((CLIPS / name).read_bytes()) for name in names]


def texts(model, clips, boosts=None):
    return [transcript.text for transcript in model.transcribe(model.collate(clips, boosts))]


@pytest.mark.parametrize("graphs", ["full", "partial", "off"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_texts_are_those_of_the_cpu(tiny, speech, dtype, graphs):
    model = load(dtype, cuda_graphs=graphs)
    expected = [texts(tiny, [each])[0] for each in speech]
    assert [texts(model, [each])[0] for each in speech] == expected
    assert texts(model, speech) == expected
    assert texts(model, speech, [("bicycle", "Denver")] * len(speech)) == texts(
        tiny, speech, [("bicycle", "Denver")] * len(speech)
    )


def test_graphs_write_to_no_memory_but_their_own(speech):
    model = load()
    expected = texts(model, speech[:1])
    texts(model, speech[:1] * 2 * MOST)  # larger than any before, so there is a new graph
    torch.cuda.empty_cache()
    neighbours = [torch.full((size,), 7, dtype=torch.int32, device="cuda") for size in [1 << 19] * 96 + [5 << 20] * 48]
    assert texts(model, speech[:1]) == expected
    assert texts(model, speech[:1] * MOST) == expected * MOST
    assert all(bool((each == 7).all()) for each in neighbours)


@pytest.mark.parametrize("left_mb", [150, 60, 20])
def test_a_batch_that_finds_no_memory_leaves_the_model_whole(speech, left_mb):
    model = load()
    expected = texts(model, speech[:1])
    minutes = [np.resize(speech[0], 60 * 16_000)] * MOST
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    filler = torch.empty(free - left_mb * 2**20, dtype=torch.uint8, device="cuda")
    with pytest.raises(MemoryExhausted):
        texts(model, minutes)
    del filler
    torch.cuda.empty_cache()
    assert texts(model, speech[:1]) == expected
    assert len(texts(model, minutes)) == MOST


def test_a_gpu_that_is_lost_is_told_to_the_client_and_ends_the_process_with_70(tmp_path):
    settings = {"PARAKEET_MODEL_ID": "tiny", "PARAKEET_DEVICE": "cuda"}
    body = (clip(1) * 32767).astype("<i2").tobytes()
    with service_of(WITH_A_GPU_THAT_BREAKS, tmp_path, **settings) as (process, port):
        url = f"http://127.0.0.1:{port}/v1/audio/transcriptions"
        while (answer := httpx.post(url, content=body, headers={"content-type": "audio/pcm"}, timeout=60)).is_success:
            pass
        assert answer.json()["error"]["code"] == "model_failed"
        assert process.wait(30) == 70


@pytest.mark.parametrize("count", [1, MOST])
@pytest.mark.parametrize("boosts", [(), ("bicycle", "Denver")])
def test_the_decoder_waits_for_the_gpu_once_for_each_batch(speech, count, boosts):
    model = load()
    clips, lists = speech[:count], [boosts] * count
    steps = [Step(samples[:32_000], 0, 12, 0, None, boosts) for samples in clips]
    expected = texts(model, clips, lists)
    heard = advanced(model, steps)
    later = [replace(step, start_frame=12, memory=each.memory) for step, each in zip(steps, heard, strict=True)]
    expected_steps = [each.tokens for each in advanced(model, later)]
    batch, windows = model.collate(clips, lists), model.collate_steps(later)
    encoded, encoded_windows = model.encode(batch), model.encode(windows.windows)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")  # whatever waits raises, but for the wait for an event
    try:
        tokens = model._decoder.decode(*encoded, batch.boosting, [len(samples) / 16_000 for samples in clips])
        heard = model._decoder.advance(*encoded_windows, windows.windows.boosting, later)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert [text_of(each) for each in tokens] == expected
    assert [each.tokens for each in heard] == expected_steps


def advanced(model, steps):
    """What the model hears in steps."""
    return model.advance(model.collate_steps(steps))


def test_one_clip_does_not_pay_for_the_rows_of_a_large_batch(speech):
    model = load()
    computers = model._decoder._plain
    few, many = computers.suiting(1), computers.suiting(MOST)
    assert few.state.batch_size < many.state.batch_size == MOST
    graphs = [few.full_graph, many.full_graph]
    for count in (1, few.state.batch_size, MOST, 1):
        assert texts(model, speech[:count]) == [texts(model, [each])[0] for each in speech[:count]]
    assert [few.full_graph, many.full_graph] == graphs, "neither was captured anew"


def test_a_stream_goes_on_in_batches_of_any_size(speech):
    model = load()
    samples = speech[0][:96_000]
    windows = [Step(samples[start * 1280 : start * 1280 + 25_600], 0, 10, start) for start in (0, 10, 20, 30)]

    def heard(sizes):
        memory, tokens = None, []
        for size, step in zip(sizes, windows, strict=True):
            first, *_ = advanced(model, [replace(step, memory=memory)] * size)
            memory = first.memory
            tokens += first.tokens
        return text_of(tokens)

    assert heard([1, MOST, 1, MOST]) == heard([MOST, 1, 3, 5]) == heard([1] * 4) != ""
