"""The decoder with the fused search gives what it gives with NeMo's: for clips, live steps and keywords in between.

The kernels run in Triton's interpreter. Skipped if Triton is not installed.
"""

import pytest
from interpreter import interpreted

pytest.importorskip("triton")

pytestmark = pytest.mark.timeout(600)  # the interpreter is slow, beside other processes slower still

BOTH = """
from dataclasses import replace
import torch
from media import clip
from src.engine.decoder import computers, fused_search, search_selection, search_weights
from src.engine.decoder.decoder import Decoder
from src.engine.decoder.fused_search import FusedSearch
from src.engine.decoder.loop_graph import run_loop
from src.engine.decoder.search_weights import weights_of
from src.engine.model import StreamStep
from src.engine.nemo_model import NemoModel
from src.settings import Settings

def select_search(network, start, graphs):
    return FusedSearch(weights_of(network), start, run_loop)

tiny = NemoModel.load(Settings(model_id="tiny", device="cpu"))
search_weights.COLUMNS = fused_search.COLUMNS = 128  # few programs, as the interpreter takes as long for small ones
fused_search.UNITS = 64
search_selection.CHECK_CLIPS, search_selection.CHECK_FRAMES = 2, 10
nemos, search_selection.select_search = tiny._decoder, select_search
fused = Decoder(tiny._network, Settings().boost_alpha)
assert fused.search == "fused search"
fused.warm_up(2, 40)
assert fused.search == "fused search", "it has passed its check"
computers.FRAMES_PER_TOKEN, computers.EXTRA_TOKENS = 1000, 3  # so that some tokens take a second copy

def assert_same(ours, theirs):
    assert [replace_(each) for each in ours] == [replace_(each) for each in theirs]
    assert all(abs(a.logprob - b.logprob) < 1e-4 for a, b in zip(ours, theirs))

def replace_(token):
    return token._replace(logprob=0)

clips = [clip("rhvoice-bdl-4")[:19_200], clip("fsdd-theo-2")]
encoded, lengths = tiny.encode(tiny.collate(clips))
texts = [decoder.decode(encoded, lengths, None, [1.6, 1.0]) for decoder in (fused, nemos)]
assert sum(map(len, texts[0])) > 5
for ours, theirs in zip(*texts):
    assert_same(ours, theirs)

def steps(decoder):
    # Two utterances; the second step of one has keywords, which NeMo's search has to go on with.
    first = [StreamStep(samples[:12_800], 0, 6, 0, lookahead=True) for samples in clips]
    results = [*advanced(decoder, first)]
    for keywords in (("station",), ()):
        state = results[-2].decoder_state
        later = StreamStep(clips[0][: 12_800 + 6_400 * len(results)], 6, 5, 6, state, keywords, lookahead=True)
        results += [*advanced(decoder, [later]), None]
    return [each for each in results if each]

def advanced(decoder, batch):
    given = tiny.collate_steps(batch)
    encoded, lengths = tiny.encode(given.windows)
    return decoder.advance(encoded, lengths, given.windows.keyword_trees, batch)

for ours, theirs in zip(steps(fused), steps(nemos), strict=True):
    assert_same(ours.tokens, theirs.tokens)
    assert_same(ours.lookahead, theirs.lookahead)

broken = replace(weights_of(tiny._network), output_bias=torch.ones(192))
start = fused._fused._start
try:
    search_selection.check_search(FusedSearch(broken, start, run_loop), fused._scorer, 144)
except search_selection.SearchMismatch as error:
    print(error)
fused._fused = FusedSearch(broken, start, run_loop)
fused.warm_up(2, 40)
assert fused.search == "NeMo's search", "it has failed its check"
"""


def test_the_decoder_gives_what_it_gives_with_nemos_search():
    assert "probabilities have an error of" in interpreted("-c", BOTH)
