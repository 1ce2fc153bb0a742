"""Which container audio comes in, by its first bytes. Pure."""

from __future__ import annotations

HEAD_BYTES = 12  # enough to tell them apart

MP3, AAC, MP4 = "mp3", "aac", "mp4"
"""Names of containers, as FFmpeg's demuxers have them."""


def sniff(head: bytes) -> str:
    """The container that begins so, by FFmpeg's name of its demuxer; "" if it is none that is taken.

    Signatures: RFC 9559 (Matroska, WebM), RFC 3533 (Ogg), ISO/IEC 14496-12 (ftyp), RFC 3267 (AMR),
    ISO/IEC 13818-7 (ADTS), id3.org, RFC 9639 (FLAC).
    """
    if head[:4] in {b"RIFF", b"RF64"} and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"OggS":
        return "ogg"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if head[4:8] == b"ftyp":
        return MP4
    if head[:4] == b"fLaC":
        return "flac"
    if head[:5] == b"#!AMR":
        return "amr"
    if head[:3] == b"ID3":
        return MP3
    return _mpeg(head)


def sniff_raw(head: bytes) -> str:
    """The container in what was announced as bare samples; "" if it may well be samples.

    Only signatures that samples will hardly begin with: some recorders put a header before the samples, or send
    another format than they were asked for.
    """
    return "" if _mpeg(head) else sniff(head)


def _mpeg(head: bytes) -> str:
    """Audio of the MPEG family without a container: 11 or 12 set bits, then version and layer."""
    if len(head) < 2 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return ""
    layer = head[1] >> 1 & 0b11
    if layer == 0b00:
        return AAC if head[1] & 0xF0 == 0xF0 else ""
    return MP3 if layer == 0b01 and head[1] >> 3 & 0b11 != 0b01 else ""
