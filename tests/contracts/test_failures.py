"""What a refused connection is called where anybody may read it."""

import pytest

from adapters.postgres.failures import kind_of_refusal

SERVER = 'connection failed: connection to server at "db.example.com" (192.0.2.1), port 5432 failed: '


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (f'{SERVER}FATAL:  password authentication failed for user "me"', "authentication failed"),
        (f"{SERVER}fe_sendauth: no password supplied", "authentication failed"),
        (f'{SERVER}FATAL:  role "me" does not exist', "authentication failed"),
        (
            f'{SERVER}FATAL:  pg_hba.conf rejects connection for host "192.0.2.9", user "me", no encryption',
            "authentication failed",
        ),
        (f'{SERVER}FATAL:  database "app" does not exist', "the database does not exist"),
        (f'{SERVER}FATAL:  database "password" does not exist', "the database does not exist"),
        (f"{SERVER}server does not support SSL, but SSL was required", "TLS failed"),
        (f"{SERVER}SSL error: certificate verify failed", "TLS failed"),
        (f"{SERVER}channel binding required, but SSL not in use", "TLS failed"),
        ("failed to resolve host 'db.example.com': [Errno -2] Name or service not known", "the host is unknown"),
        (f"{SERVER}Connection refused", "cannot connect"),
        (f"{SERVER}FATAL:  the database system is starting up", "cannot connect"),
    ],
)
def test_a_refused_connection_has_a_kind_that_names_neither_host_nor_role_nor_database(message: str, kind: str) -> None:
    assert kind_of_refusal(message) == kind
