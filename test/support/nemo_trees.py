"""NeMo's own boosting trees and their table, for comparison, and keywords to build trees from.

NeMo must be loaded before these are called, as the fixture `tiny` does.
"""

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from src.engine.decoder.boosting_tree import DEPTH_SCALING, MAX_BACKOFFS


def nemo_tree(spellings: Iterable[list[int]], vocabulary: int) -> Any:
    """Return NeMo's own tree of keywords, given to it in this order."""
    from nemo.collections.asr.parts.context_biasing.boosting_graph_batched import GPUBoostingTreeModel
    from nemo.collections.asr.parts.context_biasing.context_graph_universal import ContextGraph

    graph = ContextGraph(context_score=1.0, depth_scaling=DEPTH_SCALING)
    graph.build(token_ids=[list(spelling) for spelling in spellings])
    return GPUBoostingTreeModel.from_context_graph(
        graph, vocab_size=vocabulary, use_triton=False, uniform_weights=False
    )


def nemo_table(vocabulary: int) -> Any:
    """Return NeMo's table of trees, empty."""
    from nemo.collections.asr.parts.context_biasing.biasing_multi_model import GPUBiasingMultiModel

    return GPUBiasingMultiModel(vocabulary, use_triton=False)


@st.composite
def spelled_keywords(draw: st.DrawFn) -> tuple[list[list[int]], int]:
    """Draw the token ids of keywords, and the number of tokens: few, so that keywords share prefixes and suffixes."""
    vocabulary = draw(st.integers(1, 5))
    spelling = st.lists(st.integers(0, vocabulary - 1), min_size=1, max_size=MAX_BACKOFFS)
    return draw(st.lists(spelling, min_size=1, max_size=20)), vocabulary
