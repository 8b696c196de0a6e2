from pathlib import Path

import pytest

from penstock.jobs.redaction import Redactor


@pytest.mark.parametrize(
    "name",
    [
        "AWS_SECRET_ACCESS_KEY",
        "GITHUB_TOKEN",
        "DB_PASSWORD",
        "OPENAI_API_KEY",
        "MYSQL_PWD",
        "STRIPE_KEY",
        "SENTRY_DSN",
        "npm_config__auth",
        "azure_storage_connection_string",
    ],
)
def test_values_of_secret_names_are_hidden(name: str) -> None:
    assert Redactor({name: "s3cr3t-value"}).clean("it is s3cr3t-value!") == "it is ***!"


@pytest.mark.parametrize("name", ["PATH", "PWD", "OLDPWD", "HOME", "KEYBOARD", "MONKEY", "AUTHOR", "RAY_AUTH_MODE"])
def test_ordinary_variables_are_left(name: str) -> None:
    assert Redactor({name: "ordinary-value"}).clean("ordinary-value") == "ordinary-value"


def test_a_password_inside_an_address_is_hidden() -> None:
    clean = Redactor({"DATABASE_URL": "postgresql://me:hunter22@host/db"}).clean
    assert clean("connecting to postgresql://me:hunter22@host/db") == "connecting to postgresql://me:***@host/db"


def test_a_key_of_several_lines_is_hidden_line_by_line() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEFAASC\n-----END KEY-----"
    clean = Redactor({"TLS_PRIVATE": key}).clean
    assert clean("MIIEvQIBADANBg") == "***"
    assert clean("kqhkiG9w0BAQEFAASC") == "***"


def test_of_two_secrets_the_longer_is_hidden_whole() -> None:
    assert Redactor({"A_TOKEN": "secret-1", "B_TOKEN": "secret-1-more"}).clean("secret-1-more") == "***"


def test_short_values_and_paths_that_exist_are_left(tmp_path: Path) -> None:
    clean = Redactor({"X_TOKEN": "on", "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path)}).clean
    assert clean(f"on {tmp_path}") == f"on {tmp_path}"


def test_an_environment_without_secrets_changes_nothing() -> None:
    assert Redactor({}).clean("anything") == "anything"
