"""Whether others could reach a server, and the token that they then need."""

from ipaddress import ip_address
from pathlib import Path

from penstock.errors import NotFoundError, UsageError

__all__ = ["check_tls", "is_loopback", "read_token_file", "require_token"]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound there."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def require_token(host: str, has_token: bool) -> None:
    """Raises UsageError when others could reach the server without a token."""
    if not has_token and not is_loopback(host):
        raise UsageError(
            f"--host {host} can be reached from other machines, so a token is needed: make one with "
            "'penstock tokens create NAME' and give --tokens-file, or give --token-file or set PENSTOCK_SERVER_TOKEN"
        )


def check_tls(certificate: Path, key: Path) -> None:
    """Raises UsageError when these are not a certificate and its key."""
    import ssl  # slow to load, and few servers need it

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{certificate} and {key} are no certificate and key in PEM form: {error}") from error


def read_token_file(path: Path) -> str:
    """The token in a file, without the white space around it. Raises NotFoundError, or UsageError when it is unfit."""
    try:
        token = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no token file {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the token file {path} cannot be read: {error}") from error
    if len(token) < 8 or not token.isascii() or any(character.isspace() for character in token):
        raise UsageError(f"{path} does not hold a token: expected at least 8 ASCII characters without spaces")
    return token
