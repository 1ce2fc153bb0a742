"""The processes that decode compressed audio: reused, limited, replaced when they die."""

from __future__ import annotations

import asyncio

import pytest

from assistant.voice.decoder_pool import DecoderPool, DecodingLimits
from assistant.voice.errors import AudioError, AudioProblem
from tests.voice.harness import RECORDED, SECOND

MP3 = (RECORDED / "return_sofa.mp3").read_bytes()
LIMITS = DecodingLimits(1_000_000, 60.0)


async def decode(pool: DecoderPool, data: bytes, container: str = "mp3") -> tuple[int, bytes]:
    """Id of the process used, and the samples."""
    decoding = await pool.open(container)
    try:
        await decoding.feed(data)
        await decoding.end()
        samples = b""
        while piece := await decoding.read():
            samples += piece
        return decoding.process_id, samples
    finally:
        await decoding.close()


def test_process_is_used_again_also_after_damaged_audio() -> None:
    """Starting one costs more than decoding."""

    async def test() -> None:
        pool = DecoderPool(2, LIMITS)
        try:
            first, samples = await decode(pool, MP3)
            assert 2 * SECOND < len(samples) < 3 * SECOND
            with pytest.raises(AudioError) as refused:
                await decode(pool, bytes(5000))
            assert refused.value.problem is AudioProblem.FORMAT
            assert await decode(pool, MP3) == (first, samples)
        finally:
            await pool.close()

    asyncio.run(test())


def test_process_that_dies_costs_only_its_utterance() -> None:
    """Its sender gets an error, the next one another process."""

    async def test() -> None:
        pool = DecoderPool(1, LIMITS)
        try:
            decoding = await pool.open("mp3")
            decoding.kill()
            await decoding.feed(MP3)
            with pytest.raises(AudioError, match="broke the decoder"):
                await decoding.read()
            await decoding.close()
            _, samples = await decode(pool, MP3)
            assert len(samples) > 2 * SECOND
        finally:
            await pool.close()

    asyncio.run(test())


def test_bytes_beyond_the_limit_are_refused() -> None:
    """In the process too, whatever the server lets through."""

    async def test() -> None:
        pool = DecoderPool(1, DecodingLimits(5_000, 60.0))
        try:
            with pytest.raises(AudioError) as refused:
                await decode(pool, MP3)
            assert refused.value.problem is AudioProblem.TOO_LARGE
        finally:
            await pool.close()

    asyncio.run(test())


def test_seconds_beyond_the_limit_are_not_decoded() -> None:
    """However small the file."""

    async def test() -> None:
        pool = DecoderPool(1, DecodingLimits(1_000_000, 1.0))
        try:
            _, samples = await decode(pool, MP3)
            assert SECOND <= len(samples) < 1.5 * SECOND
        finally:
            await pool.close()

    asyncio.run(test())


def test_speakers_beyond_the_pool_wait_their_turn() -> None:
    """One process, three files."""

    async def test() -> None:
        pool = DecoderPool(1, LIMITS)
        try:
            found = await asyncio.gather(*(decode(pool, MP3) for _ in range(3)))
            assert len({process for process, _ in found}) == 1
            assert len({samples for _, samples in found}) == 1
        finally:
            await pool.close()

    asyncio.run(test())


def test_utterance_that_is_given_up_in_the_middle_leaves_a_sound_process() -> None:
    """What was left of it does not reach the next one."""

    async def test() -> None:
        pool = DecoderPool(1, LIMITS)
        try:
            decoding = await pool.open("mp3")
            await decoding.feed(MP3[:4000])
            await decoding.read()
            await decoding.close()
            await decoding.close()
            _, samples = await decode(pool, MP3)
            assert len(samples) > 2 * SECOND
        finally:
            await pool.close()

    asyncio.run(test())
