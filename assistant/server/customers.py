"""Tokens by which a shop's own server says who is signed in. Pure; docs/protocol.md shows how to make one.

A token is `ID.EXPIRY.SIGNATURE`: the customer's id in base64url without padding (RFC 4648, section 5), the second
since 1970 from which the token is no longer taken, and the HMAC-SHA256 (RFC 2104) of `ID.EXPIRY` under the shared key,
again in base64url without padding.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re

from assistant.server.wire import ErrorCode, WireError

_TOKEN = re.compile(
    r"(?P<signed>(?P<id>[A-Za-z0-9_-]{1,86})\.(?P<expiry>[0-9]{1,12}))\.(?P<mac>[A-Za-z0-9_-]{43})"
)
_ID = re.compile(r"[!-~]{1,64}")


def sign_customer(customer: str, expiry: int, key: str) -> str:
    """Make a token: what the shop's server does.

    Raises: ValueError: the id is not 1 to 64 visible ASCII characters.
    """
    if not _ID.fullmatch(customer):
        raise ValueError("a customer id has 1 to 64 visible ASCII characters")
    signed = f"{_encode(customer.encode())}.{expiry}"
    return f"{signed}.{_mac(signed, key)}"


def read_customer(token: str, now: float, key: str) -> str:
    """The customer's id, if the token is genuine and in time.

    Args:
        token: as the client sent it.
        now: seconds since 1970.
        key: the shared key; "" refuses every token.

    Raises: WireError: customer_refused or customer_expired.
    """
    match = _TOKEN.fullmatch(token)
    if not key or match is None or not hmac.compare_digest(_mac(match["signed"], key), match["mac"]):
        raise WireError(ErrorCode.CUSTOMER_REFUSED, "the customer token in hello is not one of this shop")
    if now >= int(match["expiry"]):
        raise WireError(ErrorCode.CUSTOMER_EXPIRED, "the customer token in hello has expired; get a new one")
    try:
        customer = base64.urlsafe_b64decode(match["id"] + "=" * (-len(match["id"]) % 4)).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        customer = ""
    if not _ID.fullmatch(customer):
        raise WireError(
            ErrorCode.CUSTOMER_REFUSED, "the customer id in the token is not 1 to 64 visible ASCII characters"
        )
    return customer


def _mac(signed: str, key: str) -> str:
    return _encode(hmac.new(key.encode(), signed.encode("ascii"), hashlib.sha256).digest())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
