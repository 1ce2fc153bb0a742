"""Codes in photos: real pictures made here, odd files, and limits."""

import io

import numpy as np
import pytest
import zxingcpp
from PIL import Image

from assistant.backends import barcodes
from assistant.backends.barcodes import BarcodeReader
from assistant.errors import ProtocolError

EAN = "2411619730697"


def picture(*codes: tuple[str, zxingcpp.BarcodeFormat, tuple[int, int]], turn: float = 0.0) -> Image.Image:
    """A grey photo with codes at the given places."""
    image = Image.new("L", (1400, 900), 210)
    for text, kind, place in codes:
        drawn = zxingcpp.create_barcode(text, kind).to_image(scale=4)
        image.paste(Image.fromarray(np.array(drawn)), place)
    return image.rotate(turn, fillcolor=210)


def file(image: Image.Image, kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=60)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("turn", [0.0, 12.0, 180.0])
def test_barcode_is_read(kind: str, turn: float) -> None:
    """Whatever the format, also slanted and upside down."""
    photo = picture((EAN, zxingcpp.BarcodeFormat.EAN13, (300, 300)), turn=turn)
    assert BarcodeReader().read(file(photo, kind)) == (EAN,)


def test_qr_code_is_read() -> None:
    """With any text."""
    text = "https://shop.example/p/SF-101"
    assert BarcodeReader().read(file(picture((text, zxingcpp.BarcodeFormat.QRCode, (500, 300))))) == (text,)


def test_code_in_the_middle_comes_first() -> None:
    """Customers hold what they mean to the middle."""
    photo = picture(
        ("2506989355721", zxingcpp.BarcodeFormat.EAN13, (20, 20)),
        (EAN, zxingcpp.BarcodeFormat.EAN13, (480, 340)),
    )
    assert BarcodeReader().read(file(photo))[0] == EAN


def test_photo_without_code_has_none() -> None:
    """No code is no error."""
    assert BarcodeReader().read(file(picture())) == ()


def test_large_photo_is_made_smaller_first() -> None:
    """Twelve megapixels of a phone are read."""
    photo = picture((EAN, zxingcpp.BarcodeFormat.EAN13, (480, 340))).resize((4000, 2571))
    assert BarcodeReader().read(file(photo)) == (EAN,)


@pytest.mark.parametrize(
    "photo",
    [
        b"",
        b"GIF89a" + b"\0" * 100,
        b"\x89PNG\r\n\x1a\n" + b"\0" * 64,
        b"\xff\xd8\xff\xe0" + b"\0" * 200,
        b"<svg onload='x'/>",
        b"%PDF-1.7",
        file(Image.new("L", (300, 300)))[:400],
        file(Image.new("L", (40, 40)), "BMP"),
    ],
    ids=["empty", "gif", "png head", "jpeg head", "svg", "pdf", "cut off", "bmp"],
)
def test_damaged_or_other_files_are_refused(photo: bytes) -> None:
    """The client reads a stable code and what to do."""
    with pytest.raises(ProtocolError) as caught:
        BarcodeReader().read(photo)
    assert caught.value.code == "bad_photo"


def test_too_many_bytes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is decoded."""
    photo = file(picture())
    monkeypatch.setattr(barcodes, "MOST_BYTES", len(photo) - 1)
    with pytest.raises(ProtocolError, match="bytes"):
        BarcodeReader().read(photo)


def test_decompression_bomb_is_refused() -> None:
    """A small file of very many pixels is refused by its head, before the pixels exist."""
    photo = file(Image.new("1", (20_000, 20_000)), "PNG")
    assert len(photo) < 100_000
    with pytest.raises(ProtocolError):
        BarcodeReader().read(photo)


def test_pixels_just_above_the_limit_are_refused() -> None:
    """The shop's own limit is lower than Pillow's."""
    with pytest.raises(ProtocolError, match="pixels"):
        BarcodeReader().read(file(Image.new("1", (5_001, 5_000)), "PNG"))
