"""Request bodies under `Content-Encoding: gzip` or `deflate`, unpacked up to the size that a body may have."""

import zlib

from penstock.serving.exchange import Exchange
from penstock.serving.refusals import Code, Refusal

__all__ = ["unpacked_body"]

_GZIP_WINDOW = 16 + zlib.MAX_WBITS


def unpacked_body(exchange: Exchange, *, limit_bytes: int) -> bytes:
    """The body without its content encoding. Raises Refusal when it is damaged, too large, or packed otherwise."""
    encoding = (exchange.header("content-encoding") or "identity").strip().lower()
    match encoding:
        case "identity":
            return exchange.body
        case "gzip" | "x-gzip":
            return _inflate(exchange.body, _GZIP_WINDOW, limit_bytes)
        case "deflate":
            try:
                return _inflate(exchange.body, zlib.MAX_WBITS, limit_bytes)
            except Refusal as refusal:
                if refusal.code is Code.TOO_LARGE:
                    raise
                return _inflate(exchange.body, -zlib.MAX_WBITS, limit_bytes)  # some leave out zlib's header
        case _:
            raise Refusal(
                Code.INVALID_ARGUMENT, f"the body is encoded as {encoding!r}; expected gzip, deflate or no encoding"
            )


def _inflate(packed: bytes, window: int, limit_bytes: int) -> bytes:
    inflater = zlib.decompressobj(window)
    try:
        body = inflater.decompress(packed, limit_bytes + 1)
    except zlib.error as error:
        raise Refusal(Code.INVALID_ARGUMENT, f"the compressed body is damaged: {error}") from None
    if len(body) > limit_bytes:
        raise Refusal(Code.TOO_LARGE, f"the body has more than {limit_bytes:,} bytes when unpacked (--max-body-mb)")
    if not inflater.eof:
        raise Refusal(Code.INVALID_ARGUMENT, "the compressed body is damaged: it ends too early")
    return body
