"""A chained Ogg file is split into its links: at the pages that begin streams, whatever their content looks like."""

import pytest

from src.audio.ogg import ogg_links

BEGINS = 2


def page(content: bytes = b"sound", flags: int = 0) -> bytes:
    lengths = [255] * (len(content) // 255) + [len(content) % 255]
    return b"OggS\0" + bytes([flags, *[0] * 20, len(lengths), *lengths]) + content


SPEECH = page(b"OpusHead", BEGINS) + page(b"OpusTags") + page() * 3
FILM = page(b"theora", BEGINS) + page(b"vorbis", BEGINS) + page(b"headers") * 2 + page() * 3


@pytest.mark.parametrize(
    "links",
    [
        [SPEECH],
        [SPEECH, SPEECH],
        [SPEECH, FILM, SPEECH],
        [FILM] * 3,
        [SPEECH[: len(SPEECH) * 6 // 10], SPEECH],
        [SPEECH[:100] + b"damage" + SPEECH[100:], SPEECH],
        [SPEECH.replace(b"OpusTags", b"OpusTags too long for its page"), FILM],
        [page() * 2, SPEECH],
        [b"ID3 tag" + SPEECH, SPEECH],
        [SPEECH + page(page(b"OpusHead", BEGINS) + bytes(1000)) + page(), SPEECH],
        [SPEECH, page(b"OpusHead", BEGINS)],
    ],
)
def test_each_link_begins_with_the_first_pages_of_its_streams(links):
    assert list(ogg_links(b"".join(links))) == links


@pytest.mark.parametrize("data", [b"", b"OggS\0", page(flags=BEGINS)[:26], page(flags=BEGINS)[:27], SPEECH[:-3]])
def test_what_is_cut_within_a_page_is_one_link(data):
    assert list(ogg_links(data)) == [data]


def test_a_file_of_one_link_is_not_copied():
    assert next(ogg_links(SPEECH)) is SPEECH
