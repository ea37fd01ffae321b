"""Media files damaged by Hypothesis."""

from collections.abc import Mapping
from random import Random

from damage import HARMS
from hypothesis import strategies as st

LIES = [b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\1", b"\xff" * 8, b"\x7f" + b"\xff" * 7]
"""Impossible sizes and counts."""
LARGEST = 60_000


@st.composite
def media(draw: st.DrawFn, recordings: Mapping[str, bytes]) -> bytes:
    """Draw a file made of `recordings`, by name: damaged, spliced, with impossible sizes; or just random bytes."""
    names = st.sampled_from(sorted(recordings))
    data = recordings[draw(names)][:LARGEST]
    for harm in draw(st.lists(st.sampled_from(list(HARMS.values())), max_size=3)):
        data = harm(data, Random(draw(st.integers(0, 2**16)))) or b"\0"
    for lie in draw(st.lists(st.sampled_from(LIES), max_size=4)):
        at = draw(st.integers(0, min(len(data), 600)))
        data = data[:at] + lie + data[at + len(lie) :]
    if draw(st.booleans()):
        data += recordings[draw(names)][draw(st.integers(0, 2_000)) : LARGEST]
    return draw(st.sampled_from([data, data, data, draw(st.binary(max_size=500))]))
