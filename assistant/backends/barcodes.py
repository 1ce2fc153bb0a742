"""Codes in a photo, read by zxing-cpp. The only home of zxing-cpp and Pillow."""

from __future__ import annotations

import io
import warnings

from PIL import Image, UnidentifiedImageError
from zxingcpp import TextMode, barcode_formats_from_str, read_barcodes

from assistant.errors import ProtocolError

MOST_BYTES = 8_000_000
MOST_PIXELS = 25_000_000
_LONG_SIDE = (
    1_600  # pixels; larger photos are made smaller first, which costs no code that a phone can hold still
)
_FORMATS = ("JPEG", "PNG", "WEBP")
_READ = barcode_formats_from_str("EAN13,EAN8,UPCA,UPCE,QRCode")
_MOST_CODES = 8


class BarcodeReader:
    """Reads codes from photos. Stateless; safe from several threads."""

    def read(self, photo: bytes) -> tuple[str, ...]:
        """The texts of the codes in a photo, nearest the middle first; none if there is no code in it.

        Raises: ProtocolError: the photo is too large, damaged, or not a JPEG, PNG or WebP.
        Blocking, some tens of milliseconds: call from an executor.
        """
        if len(photo) > MOST_BYTES:
            raise _refused(f"the photo has {len(photo)} bytes; send at most {MOST_BYTES}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                image = Image.open(io.BytesIO(photo), formats=_FORMATS)
                width, height = image.size
                if width * height > MOST_PIXELS:
                    raise _refused(f"the photo has {width} x {height} pixels; send at most {MOST_PIXELS}")
                image.draft("L", (_LONG_SIDE, _LONG_SIDE))
                grey = image.convert("L")
        except UnidentifiedImageError as error:
            raise _refused("that is no photo this server reads; send a JPEG, PNG or WebP") from error
        except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError) as error:
            raise _refused("the photo is damaged; take it again") from error
        grey.thumbnail((_LONG_SIDE, _LONG_SIDE))
        found = read_barcodes(grey, formats=_READ, text_mode=TextMode.Plain)
        middle = (grey.width / 2, grey.height / 2)

        def distance(place: int) -> float:
            corner = found[place].position
            x = (corner.top_left.x + corner.bottom_right.x) / 2
            y = (corner.top_left.y + corner.bottom_right.y) / 2
            return (x - middle[0]) ** 2 + (y - middle[1]) ** 2

        nearest = sorted(range(len(found)), key=distance)[:_MOST_CODES]
        return tuple(dict.fromkeys(found[place].text for place in nearest if found[place].text))


def _refused(message: str) -> ProtocolError:
    return ProtocolError("bad_photo", message)
