"""On a GPU: the same texts as on the CPU, graphs that stay within their own memory, and failures that no CPU has.

`bash scripts/gpu_check.sh --only tests` runs them. Skipped where there is no GPU, and in the suite, which hides it.
"""

import asyncio
import gc
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import cycle, islice, product
from typing import Any

import client
import httpx
import numpy as np
import pytest
import torch
from fakes import clip
from service_process import service_of

from src.engine import transfers
from src.engine.device_errors import MemoryExhausted
from src.engine.encoder.features import Features
from src.engine.encoder.graphed_encoder import GraphedEncoder
from src.engine.model import StreamStep
from src.engine.nemo_model import NemoModel
from src.engine.windowing import Windowing
from src.realtime.live import LiveTranscript
from src.scheduling.scheduler import Scheduler
from src.settings import Settings
from src.text.transcript import text_of

# What it asserts cannot be had from a CPU.
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is to be seen")

MAX_BATCH = 8
WITH_A_GPU_THAT_BREAKS = """
import torch
from src.__main__ import run_and_exit
from src.engine.nemo_model import NemoModel


def load(settings):
    model = NemoModel.load(settings)
    encode, batches = model.encode, iter(range(3))

    def breaking(batch):
        if next(batches, None) is None:  # an index out of range: the device fails and does not respond any more
            torch.zeros(10, device="cuda")[torch.tensor([99999], device="cuda")]
        return encode(batch)

    model.encode = breaking
    return model


run_and_exit(load)
"""


USUAL = ("bfloat16", "full")


def load(dtype="bfloat16", graphs="full", **settings):
    wanted = Settings(
        model_id="tiny", device="cuda", dtype=dtype, cuda_graphs=graphs, microbatch_max_batch=MAX_BATCH, **settings
    )
    return NemoModel.load(wanted)


@cache
def loaded(dtype, graphs, **settings):
    """A model that tests share, because loading takes most of their time."""
    return load(dtype, graphs, **settings)


@pytest.fixture(scope="module", autouse=True)
def memory_given_back():
    """Free the memory of the models that these tests have loaded."""
    yield
    loaded.cache_clear()
    gc.collect()
    torch.cuda.empty_cache()


@pytest.fixture(scope="module")
def speech():
    """The samples of the bundled clips, except the long ones."""
    return [client.samples_of(path) for path in client.short_clips()]


@pytest.fixture(scope="module")
def on_cpu():
    return NemoModel.load(Settings(model_id="tiny", device="cpu"))


@pytest.fixture(scope="module")
def expected(on_cpu, speech):
    """Their texts on the CPU, each alone."""
    return [texts(on_cpu, [each])[0] for each in speech]


def texts(model, clips, keywords=None):
    return [transcript.text for transcript in model.transcribe(model.collate(clips, keywords))]


def live_text(model, samples):
    """The text of samples that are decoded step by step."""
    live = LiveTranscript(Windowing(left_s=4.8, chunk_s=0.96, right_s=0.96))
    while window := live.next_window(len(samples), ended=True):
        step = live.begin_step(window, samples[window.start : window.stop])
        live.finish_step(model.advance(model.collate_steps([step]))[0])
    live.finish()
    return live.text


def in_batches(size, count):
    """The numbers of `count` clips in batches of `size`, each clip in at least one."""
    numbers = list(islice(cycle(range(count)), -(-max(size, count) // size) * size))
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]


@pytest.mark.parametrize(
    ("dtype", "graphs"),
    [*product(["float32", "bfloat16", "float16"], ["full", "off"]), ("bfloat16", "partial")],
)
def test_the_texts_are_those_of_the_cpu(on_cpu, speech, expected, dtype, graphs):
    model = loaded(dtype, graphs)
    assert [texts(model, [each])[0] for each in speech] == expected
    for size in (3, 8, 64):
        for batch in in_batches(size, len(speech)):
            assert texts(model, [speech[at] for at in batch]) == [expected[at] for at in batch]
    keywords = [("bicycle", "Denver")] * len(speech)
    assert texts(model, speech, keywords) == texts(on_cpu, speech, keywords)
    assert live_text(model, speech[0]) == live_text(on_cpu, speech[0])


def test_the_encoder_is_the_services_own_and_in_graphs_with_its_features():
    encoder = loaded(*USUAL)._encoder
    assert isinstance(encoder, GraphedEncoder)
    assert "CUDA graphs of features and encoder" in encoder.describe()


def test_nemos_own_encoder_has_the_same_texts(speech, expected):
    model = loaded(*USUAL, encoder="nemo", chunk_seconds=30)
    assert [texts(model, [each])[0] for each in speech] == expected
    assert texts(model, speech) == expected


def test_graphs_write_to_no_memory_but_their_own(speech, expected):
    model = load()
    texts(model, speech[:1] * 2 * MAX_BATCH)  # larger than any before, so there is a new graph
    torch.cuda.empty_cache()
    neighbours = [torch.full((size,), 7, dtype=torch.int32, device="cuda") for size in [1 << 19] * 96 + [5 << 20] * 48]
    for clips in (1, 3, MAX_BATCH):
        assert texts(model, speech[:clips]) == expected[:clips]
    assert all(bool((each == 7).all()) for each in neighbours)


# NeMo's encoder takes a batch in one pass. By parts, 31 MB are on their way to the GPU, and a clip takes some 40.
@pytest.mark.parametrize(
    ("encoder", "left_mb"), [("nemo", 150), ("nemo", 60), ("nemo", 20), ("auto", 60), ("auto", 45), ("auto", 20)]
)
def test_a_batch_that_finds_no_memory_leaves_the_model_whole(speech, expected, encoder, left_mb):
    model = loaded(*USUAL, encoder=encoder, chunk_seconds=30)
    minutes = [np.resize(speech[0], 60 * 16_000)] * MAX_BATCH  # for which there are no graphs
    with only_left(left_mb), pytest.raises(MemoryExhausted):
        texts(model, minutes)
    assert texts(model, speech[:1]) == expected[:1]
    assert len(texts(model, minutes)) == MAX_BATCH


def test_a_batch_that_finds_no_memory_is_done_in_halves(speech, caplog):
    model = loaded(*USUAL, encoder="nemo", chunk_seconds=30)  # which takes a batch in one pass, without graphs
    minutes = [np.resize(speech[number], 60 * 16_000) for number in range(MAX_BATCH)]
    alone = [beginning(texts(model, [each])[0]) for each in minutes]
    left_mb = 4096
    while fits(model, minutes, left_mb):
        left_mb = left_mb * 3 // 4  # not by half: half of the batch has to fit into the memory that is found in the end
    with only_left(left_mb):
        served = asyncio.run(served_at_once(model, minutes))
    assert [beginning(text) for text in served] == alone
    assert "A batch of 8 failed" in caplog.text


def beginning(text):
    """Enough of a minute's text to identify the clip; rounding may change a later word."""
    return text.split()[:3]


def fits(model, clips, left_mb):
    with only_left(left_mb):
        try:
            texts(model, clips)
        except MemoryExhausted:
            return False
    return True


@contextmanager
def only_left(left_mb):
    """Leave this much of the GPU's memory free."""
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    filler = torch.empty(free - left_mb * 2**20, dtype=torch.uint8, device="cuda")
    try:
        yield
    finally:
        del filler
        torch.cuda.empty_cache()


async def served_at_once(model, clips):
    """Return the texts of clips that reach the scheduler at the same time."""
    scheduler = Scheduler(Settings(microbatch_max_batch=len(clips), microbatch_window_ms=1000, max_queue_wait_s=60))

    async def ask(samples):
        async with scheduler.admit() as admission:
            return (await scheduler.transcribe(admission, samples)).result.text

    await scheduler.start(lambda: model)
    try:
        return await asyncio.gather(*map(ask, clips))
    finally:
        await scheduler.stop(0)


def test_where_nothing_can_be_captured_the_texts_are_the_same(speech, expected, monkeypatch, caplog):
    def broken(*_, **__):
        raise RuntimeError("no capture today")

    monkeypatch.setattr(torch.cuda, "graph", broken)
    model = load()
    assert "no capture today" in caplog.text
    assert texts(model, speech) == expected


def test_where_features_cannot_be_captured_the_encoder_alone_is(speech, expected, monkeypatch, caplog):
    compute = Features.__call__

    def waiting(self, samples, lengths):
        lengths.max().item()  # waits for the device, which cancels a capture
        return compute(self, samples, lengths)

    monkeypatch.setattr(Features, "__call__", waiting)
    model = load(chunk_seconds=10)
    assert "the encoder alone is" in caplog.text
    assert "CUDA graphs of the encoder (" in model._encoder.describe()
    assert texts(model, speech) == expected


def test_a_batch_is_encoded_without_a_wait_for_the_gpu(speech):
    model = loaded(*USUAL)
    for clips in (speech[:1], speech[: 2 * MAX_BATCH]):
        batch = model.collate(clips)
        expected, _ = model.encode(batch)
        batch = model.collate(clips)
        with nothing_may_wait():
            encoded, _ = model.encode(batch)
        assert torch.allclose(encoded.float(), expected.float(), atol=1e-2)


def test_a_gpu_that_is_lost_is_an_error_for_the_client_and_ends_the_process_with_70(tmp_path):
    settings: dict[str, Any] = {"PARAKEET_MODEL_ID": "tiny", "PARAKEET_DEVICE": "cuda"}
    body = (clip(1) * 32767).astype("<i2").tobytes()
    with service_of(WITH_A_GPU_THAT_BREAKS, tmp_path, **settings) as (process, port):
        url = f"http://127.0.0.1:{port}/v1/audio/transcriptions"
        while (answer := httpx.post(url, content=body, headers={"content-type": "audio/pcm"}, timeout=60)).is_success:
            pass
        assert answer.json()["error"]["code"] == "model_failed"
        assert process.wait(30) == 70


@pytest.mark.parametrize("count", [1, MAX_BATCH])
@pytest.mark.parametrize("keywords", [(), ("bicycle", "Denver")])
def test_the_decoder_waits_for_the_gpu_once_for_each_batch(speech, monkeypatch, count, keywords):
    model = loaded(*USUAL)
    waits: list[Any] = []
    monkeypatch.setattr(
        "src.engine.decoder.decoder.to_host", lambda tensors: waits.append(len(tensors)) or transfers.to_host(tensors)
    )
    clips = speech[:count]
    batch = model.collate(clips, [keywords] * count)
    expected = [transcript.tokens for transcript in model.transcribe(batch)]
    encoded, lengths = model.encode(batch)
    with nothing_may_wait():
        found = model._decoder.decode(
            encoded, lengths, batch.keyword_trees, [len(samples) / 16_000 for samples in clips]
        )
    assert found == expected

    first = [StreamStep(samples[:32_000], 0, 12, 0, None, keywords) for samples in clips]
    results = advanced(model, first)
    steps = [
        replace(step, start_frame=12, decoder_state=r.decoder_state, lookahead=True)
        for step, r in zip(first, results, strict=True)
    ]
    expected = [(each.tokens, each.lookahead) for each in advanced(model, steps)]
    batch = model.collate_steps(steps)
    encoded, lengths = model.encode(batch.windows)
    with nothing_may_wait():
        results = model._decoder.advance(encoded, lengths, batch.windows.keyword_trees, steps)
    assert [(each.tokens, each.lookahead) for each in results] == expected
    assert len(waits) == 5


@contextmanager
def nothing_may_wait():
    """Make torch raise if the block waits for the GPU in another way than by an event."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def advanced(model, steps):
    """The results of steps, in one batch."""
    return model.advance(model.collate_steps(steps))


def test_one_clip_with_keywords_does_not_pay_for_the_rows_of_a_large_batch(speech):
    model = load()
    computers = model._decoder._boosting
    few, many = computers.for_batch(1), computers.for_batch(MAX_BATCH)
    assert few.state.batch_size < many.state.batch_size == MAX_BATCH
    graphs = [few.full_graph, many.full_graph]
    keywords = [("bicycle", "Denver")] * len(speech)
    for count in (1, few.state.batch_size, MAX_BATCH, 1):
        alone = [texts(model, [each], keywords[:1])[0] for each in speech[:count]]
        assert texts(model, speech[:count], keywords[:count]) == alone
    assert [few.full_graph, many.full_graph] == graphs, "neither was captured anew"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_fused_search_finds_what_nemos_search_finds(speech, dtype, monkeypatch):
    model = loaded(dtype, "full")
    assert model._decoder.search == "fused search"

    def found():
        return [[(each.id, each.start_s, each.end_s) for each in tokens] for tokens in transcribed()]

    def transcribed():
        for count in (1, 3, len(speech)):
            yield from (transcript.tokens for transcript in model.transcribe(model.collate(speech[:count])))
        yield from (result.tokens + result.lookahead for result in advanced(model, steps))

    steps = [StreamStep(samples, 0, 12, 0, lookahead=True) for samples in speech[:MAX_BATCH]]
    ours = found()
    with monkeypatch.context() as patch:
        patch.setattr(model._decoder, "_fused", None)
        theirs = found()
    same = sum(mine == other for mine, other in zip(ours, theirs, strict=True))
    assert same >= (len(ours) if dtype == "float32" else 0.9 * len(ours))  # rounding may move a token by a frame


def test_a_space_stays_a_space_after_graphs_have_been_captured():
    loaded(*USUAL)
    assert bytes([32])[0] == 32, "NeMo's way to compile a loop's condition writes into the byte string of one space"


def test_a_stream_goes_on_in_batches_of_any_size(speech):
    model = loaded("float32", "full")  # in which the size of a batch changes almost nothing
    samples = speech[0][:96_000]
    windows = [StreamStep(samples[start * 1280 : start * 1280 + 25_600], 0, 10, start) for start in (0, 10, 20, 30)]

    def text_in_batches_of(sizes, **asks):
        memory, tokens = None, []
        for size, step in zip(sizes, windows, strict=True):
            first, *_ = advanced(model, [replace(step, decoder_state=memory, **asks)] * size)
            memory = first.decoder_state
            tokens += first.tokens
        return text_of(tokens)

    alone = text_in_batches_of([1] * 4)
    assert alone != ""
    assert text_in_batches_of([1, MAX_BATCH, 1, MAX_BATCH]) == text_in_batches_of([MAX_BATCH, 1, 3, 5]) == alone
    assert text_in_batches_of([1, MAX_BATCH, 1, MAX_BATCH], lookahead=True) == alone


def test_a_chunk_and_its_lookahead_are_the_text_of_the_clip(speech):
    model = load("float32")
    computers = [
        kind.for_batch(size) for kind in (model._decoder._plain, model._decoder._boosting) for size in (1, MAX_BATCH)
    ]
    graphs = [computer.full_graph for computer in computers]
    for size, keywords in product((1, 3, MAX_BATCH), ((), ("bicycle", "Denver"))):
        expected = texts(model, speech[:size], [keywords] * size)
        steps = [StreamStep(each, 0, 20, 0, None, keywords, lookahead=True) for each in speech[:size]]
        for result, text in zip(advanced(model, steps), expected, strict=True):
            assert text_of([*result.tokens, *result.lookahead]) == text
    assert [computer.full_graph for computer in computers] == graphs, "none was captured anew"
