from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from entrypoints.setting_types import origin
from entrypoints.settings import InvalidSettings, Settings, load

NEON_ORIGIN = "https://ep-cool-leaf-a1b2c3d4.neonauth.c-2.eu-central-1.aws.neon.tech"
NEON_AUTH = f"{NEON_ORIGIN}/neondb/auth"
SECRET = "a secret of at least thirty-two bytes"
DATABASE = "postgres://me:p%40ss@ep-x-pooler.eu-central-1.aws.neon.tech/app?sslmode=require&channel_binding=require"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)  # type: ignore[arg-type]


def set_all(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_all_settings_are_optional_without_a_database() -> None:
    assert load().database_url is None


@pytest.mark.parametrize("scheme", ["postgres://", "postgresql://", "postgresql+psycopg://"])
def test_a_database_url_may_have_one_of_three_schemes(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    set_all(monkeypatch, DATABASE_URL=DATABASE.replace("postgres://", scheme), BETTER_AUTH_SECRET=SECRET)
    assert conninfo_to_dict(load().conninfo) == {
        "user": "me",
        "password": "p@ss",
        "host": "ep-x-pooler.eu-central-1.aws.neon.tech",
        "dbname": "app",
        "sslmode": "require",
        "channel_binding": "require",
    }


def test_a_database_requires_a_key_source(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, DATABASE_URL=DATABASE)
    with pytest.raises(InvalidSettings, match=r"^BETTER_AUTH_SECRET: must be set"):
        load()


def test_all_invalid_settings_are_listed_together_without_their_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_all(
        monkeypatch,
        DATABASE_URL="mysql://me:hunter2@host/db",
        DATABASE_CONNECTIONS="many",
        BETTER_AUTH_SECRET="hunter2",
        BETTER_AUTH_URL="https://app:hunter2/",
        CORS_ORIGINS="*",
        COMPLETE_TOGGLES="perhaps",
        KEEP_UNKNOWN_MEMBERS="maybe",
        DIALECT="latin",
        DIALECT_LIST="items",
        DIALECT_DELETE="404",
        METRICS_PORT="65536",
    )
    with pytest.raises(InvalidSettings) as wrong:
        load()
    lines = str(wrong.value).splitlines()
    assert {line.partition(":")[0] for line in lines} == {
        "DATABASE_URL",
        "DATABASE_CONNECTIONS",
        "BETTER_AUTH_SECRET",
        "BETTER_AUTH_URL",
        "CORS_ORIGINS",
        "COMPLETE_TOGGLES",
        "KEEP_UNKNOWN_MEMBERS",
        "DIALECT",
        "DIALECT_LIST",
        "DIALECT_DELETE",
        "METRICS_PORT",
    }
    assert "hunter2" not in str(wrong.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@host/%zz",
        "postgresql://me:hunter2@host:port/db",
        "postgresql://me:hunter2@h/d?pgbouncer=true",
        "postgresql://me:x@hunter2@h/d",
        "postgresql://me:1/hunter2@h/d",
        "postgresql://me:hunter2@h:99999/d",
    ],
)
def test_a_url_that_libpq_cannot_parse_is_refused_without_being_quoted(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    set_all(monkeypatch, DATABASE_URL=url, BETTER_AUTH_SECRET=SECRET)
    with pytest.raises(InvalidSettings, match="libpq") as wrong:
        load()
    assert "ter2" not in str(wrong.value)


def test_secrets_are_an_ordered_list_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, BETTER_AUTH_SECRET=f"{SECRET}, {SECRET[::-1]}", DATABASE_URL=DATABASE)
    loaded = load()
    assert loaded.secrets == [SECRET, SECRET[::-1]]
    for shown in (repr(loaded), str(loaded), loaded.model_dump_json()):
        assert SECRET not in shown
        assert "p%40ss" not in shown


@pytest.mark.parametrize("secret", ["short", "better-auth-secret-12345678901234567890", f"{SECRET},short"])
def test_short_and_publicly_known_secrets_are_refused(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    set_all(monkeypatch, BETTER_AUTH_SECRET=secret)
    with pytest.raises(InvalidSettings, match=r"^BETTER_AUTH_SECRET: ") as wrong:
        load()
    assert secret not in str(wrong.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://App.Example.com", "https://app.example.com"),
        ("https://app.example.com/", "https://app.example.com"),
        ("https://app.example.com:443/api/auth", "https://app.example.com"),
        ("http://app.example.com:80", "http://app.example.com"),
        ("http://localhost:3000/api/auth", "http://localhost:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_issuer_audience_and_origin_default_to_the_origin_of_better_auth_url(
    monkeypatch: pytest.MonkeyPatch, url: str, expected: str
) -> None:
    set_all(monkeypatch, BETTER_AUTH_URL=url, BETTER_AUTH_SECRET=SECRET)
    loaded = load()
    assert origin(url) == expected
    assert (loaded.expected_claims.issuer, loaded.expected_claims.audience) == (expected, expected)
    assert loaded.origins == [expected]
    assert loaded.expected_claims.required == frozenset()


def test_issuer_audience_and_origins_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(
        monkeypatch,
        BETTER_AUTH_URL="http://auth:3000",
        BETTER_AUTH_SECRET=SECRET,
        BETTER_AUTH_ISSUER="https://app.example.com",
        BETTER_AUTH_AUDIENCE="tasks",
        CORS_ORIGINS="https://a.example, https://B.example:443/",
    )
    loaded = load()
    assert (loaded.expected_claims.issuer, loaded.expected_claims.audience) == ("https://app.example.com", "tasks")
    assert loaded.expected_claims.required == {"iss", "aud"}
    assert loaded.origins == ["https://a.example", "https://b.example"]


def test_an_env_file_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text(f"BETTER_AUTH_SECRET={SECRET}\nCOMPLETE_TOGGLES=true\nNEXT_PUBLIC_X=1\nDATABASE_URL=\n")
    assert load().secrets == [SECRET]
    assert load().complete_toggles
    set_all(monkeypatch, COMPLETE_TOGGLES="false")
    assert not load().complete_toggles


@pytest.mark.parametrize("line", ['DATABASE_URL="postgresql://me:hunter2@h/d', "DATABASE_URL: x", "set DATABASE_URL=x"])
def test_a_malformed_line_in_an_env_file_is_refused(line: str) -> None:
    Path(".env").write_text(f"BETTER_AUTH_SECRET={SECRET}\n{line}\n")
    with pytest.raises(InvalidSettings, match=r"^\.env: line 2 cannot be parsed$"):
        load()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("{} # comment", SECRET),
        ("{}#no comment", f"{SECRET}#no comment"),
        ("'{} # no comment'", f"{SECRET} # no comment"),
        ("{}$HOME$", f"{SECRET}$HOME$"),
        ("{}${{NAME}}", f"{SECRET}milk"),
        ("'{}${{NAME}}'", f"{SECRET}milk"),
        ("{}${{UNSET}}", SECRET),
    ],
)
def test_comments_and_variables_in_the_file_are_read_as_documented(
    monkeypatch: pytest.MonkeyPatch, written: str, read: str
) -> None:
    set_all(monkeypatch, NAME="milk", HOME="/root")
    Path(".env").write_text(f"BETTER_AUTH_SECRET={written.format(SECRET)}\n")
    assert load().secrets == [read]


@pytest.mark.parametrize("url", ["postgresql://h1,h2/db", "postgresql://h1:5433,h2/db?target_session_attrs=read-write"])
def test_a_database_url_may_name_several_hosts(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    set_all(monkeypatch, DATABASE_URL=f" {url}\n", BETTER_AUTH_SECRET=SECRET)
    assert "h1,h2" in load().conninfo


def test_the_jwks_url_is_derived_from_better_auth_url(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load().jwks_urls == []
    for url, expected in (
        ("https://app.example.com", ["https://app.example.com/api/auth/jwks"]),
        ("https://app.example.com/", ["https://app.example.com/api/auth/jwks"]),
        (
            "https://app.example.com/auth",
            ["https://app.example.com/auth/jwks", "https://app.example.com/auth/.well-known/jwks.json"],
        ),
        (NEON_AUTH, [f"{NEON_AUTH}/.well-known/jwks.json", f"{NEON_AUTH}/jwks"]),
    ):
        set_all(monkeypatch, BETTER_AUTH_URL=url)
        assert load().jwks_urls == expected
    set_all(monkeypatch, BETTER_AUTH_JWKS_URL="http://auth:3000/api/auth/jwks")
    assert load().jwks_urls == ["http://auth:3000/api/auth/jwks"]


def test_neon_auth_needs_one_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, DATABASE_URL=DATABASE, NEON_AUTH_BASE_URL=f"{NEON_AUTH}/")
    loaded = load()
    assert loaded.jwks_urls == [f"{NEON_AUTH}/.well-known/jwks.json"]
    assert (loaded.expected_claims.issuer, loaded.expected_claims.audience) == (NEON_ORIGIN, NEON_ORIGIN)
    assert loaded.origins == []
    assert loaded.admits_no_page
    set_all(monkeypatch, BETTER_AUTH_URL=NEON_AUTH)
    assert load().jwks_urls == loaded.jwks_urls, "the same address twice is one issuer"
    set_all(monkeypatch, CORS_ORIGINS="https://app.example.com")
    assert not load().admits_no_page


def test_the_host_of_neon_auth_is_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, BETTER_AUTH_URL=NEON_AUTH)
    assert load().admits_no_page
    set_all(monkeypatch, BETTER_AUTH_URL=f"{NEON_AUTH},https://app.example.com", BETTER_AUTH_PRIMARY_URL=NEON_AUTH)
    assert load().origins == ["https://app.example.com"]


def test_of_several_issuers_one_is_the_primary_one_in_whatever_order(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, BETTER_AUTH_PRIMARY_URL="https://app.example.com/")
    for urls in (f"https://app.example.com,{NEON_AUTH}/", f"{NEON_AUTH}, https://app.example.com/"):
        set_all(monkeypatch, BETTER_AUTH_URL=urls)
        loaded = load()
        assert loaded.issuer_urls == ["https://app.example.com", NEON_AUTH]
        assert loaded.expected_claims.issuer == "https://app.example.com"
        assert loaded.jwks_urls == ["https://app.example.com/api/auth/jwks"]
        assert loaded.other_issuers == {NEON_ORIGIN: [f"{NEON_AUTH}/.well-known/jwks.json", f"{NEON_AUTH}/jwks"]}


TWO = f"https://app.example.com,{NEON_AUTH}"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"BETTER_AUTH_URL": TWO}, "BETTER_AUTH_PRIMARY_URL: must be one of the addresses in BETTER_AUTH_URL: "),
        (
            {"BETTER_AUTH_URL": TWO, "BETTER_AUTH_PRIMARY_URL": "https://other.example"},
            "BETTER_AUTH_PRIMARY_URL: must be one of the addresses in BETTER_AUTH_URL: ",
        ),
        ({"BETTER_AUTH_PRIMARY_URL": "https://app.example.com"}, "BETTER_AUTH_PRIMARY_URL: must be one of"),
        (
            {"BETTER_AUTH_URL": "https://a.example/x,https://A.example:443/y"},
            "BETTER_AUTH_URL: has two addresses with one origin",
        ),
        (
            {"BETTER_AUTH_URL": "https://app.example.com", "NEON_AUTH_BASE_URL": NEON_AUTH},
            "NEON_AUTH_BASE_URL: must not be set beside BETTER_AUTH_URL",
        ),
        ({"NEON_AUTH_BASE_URL": NEON_ORIGIN}, "NEON_AUTH_BASE_URL: must be the whole address with its path"),
        *(
            (
                {"BETTER_AUTH_URL": TWO, "BETTER_AUTH_PRIMARY_URL": NEON_AUTH, name: "https://x.example"},
                f"{name}: cannot be set with several addresses",
            )
            for name in ("BETTER_AUTH_ISSUER", "BETTER_AUTH_AUDIENCE", "BETTER_AUTH_JWKS_URL")
        ),
    ],
)
def test_issuers_that_could_be_mixed_up_are_refused(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], message: str
) -> None:
    set_all(monkeypatch, **settings)
    with pytest.raises(InvalidSettings) as wrong:
        load()
    [line] = str(wrong.value).splitlines()
    assert line.startswith(message)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:pa55word@app.example.com",
        "https://pa55word@app.example.com",
        "https://app.example.com?pa55word",
        "https://app.example.com/auth?x=pa55word",
        "https://app.example.com#pa55word",
        "https://app pa55word.example.com",
        "https://app.example.com/pa55word x",
        "https://*.pa55word.example",
        "https://pa55wörd.example",
        "https://pa55word.example\\evil.example",
        "//pa55word.example",
        "pa55word.example",
        "ftp://pa55word.example",
    ],
)
@pytest.mark.parametrize("name", ["BETTER_AUTH_URL", "NEON_AUTH_BASE_URL"])
def test_an_address_that_is_not_a_plain_one_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str
) -> None:
    set_all(monkeypatch, **{name: url})
    with pytest.raises(InvalidSettings, match=f"^{name}: ") as wrong:
        load()
    assert "pa55w" not in str(wrong.value)


def test_a_jwks_url_alone_does_not_say_which_issuer_and_audience_to_expect(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, BETTER_AUTH_JWKS_URL="http://auth:3000/jwks", BETTER_AUTH_ISSUER="https://app.example.com")
    with pytest.raises(InvalidSettings, match=r"^BETTER_AUTH_JWKS_URL: also needs BETTER_AUTH_URL \(or both"):
        load()
    set_all(monkeypatch, BETTER_AUTH_AUDIENCE="tasks", DATABASE_URL=DATABASE)
    assert load().expected_claims.audience == "tasks"


def test_better_auth_url_is_enough_as_a_key_source(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, DATABASE_URL=DATABASE, BETTER_AUTH_URL="https://app.example.com")
    assert load().secrets == []


def test_an_env_file_that_is_not_text_is_named() -> None:
    Path(".env").write_bytes(b"\xff\xfeA\0")
    with pytest.raises(InvalidSettings, match=r"^\.env: "):
        load()


def test_the_example_file_lists_every_setting_and_no_other() -> None:
    example = Path(__file__).parents[1] / ".env.example"
    named = {line.lstrip("# ").partition("=")[0] for line in example.read_text().splitlines() if "=" in line}
    assert named == {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("DATABASE_CONNECTIONS", "many", "must be a whole number from 1 to 90"),
        ("DATABASE_CONNECTIONS", "0", "must be a whole number from 1 to 90"),
        ("DATABASE_CONNECTIONS", "91", "must be a whole number from 1 to 90"),
        ("DATABASE_CONNECTIONS", "1.5", "must be a whole number from 1 to 90"),
        ("METRICS_PORT", "99999", "must be a whole number from 0 to 65535"),
        ("COMPLETE_TOGGLES", "perhaps", "must be true or false"),
        ("LOG_LEVEL", "loud", "must be debug, info, warning or error"),
        ("ACCESS_LOG", "true", "must be on, off or errors"),
        ("DATABASE_URL_FILE", "/nonexistent", "the file cannot be read (No such file or directory)"),
        ("DATABASE_URL_FILE", "/dev/null", "the file is empty"),
        (
            "CORS_ORIGINS",
            "*",
            "`*` is refused, because browsers reject it for requests with credentials: "
            "list the origins of your pages, like https://app.example.com",
        ),
        (
            "BETTER_AUTH_JWKS_URL",
            "http://auth:3000/jwks",
            "also needs BETTER_AUTH_URL (or both BETTER_AUTH_ISSUER and BETTER_AUTH_AUDIENCE)",
        ),
        ("BETTER_AUTH_SECRET", "short", "must have at least 32 bytes: generate one with `openssl rand -base64 32`"),
    ],
)
def test_a_message_says_what_the_setting_must_be(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    set_all(monkeypatch, **{name: value})
    with pytest.raises(InvalidSettings) as wrong:
        load()
    assert str(wrong.value) == f"{name}: {reason}"


def test_of_several_secrets_the_message_says_which_are_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, BETTER_AUTH_SECRET=f"short,{SECRET},shorter")
    with pytest.raises(InvalidSettings) as wrong:
        load()
    first, third = str(wrong.value).splitlines()
    assert first.startswith("BETTER_AUTH_SECRET: secret 1 of 3 must have at least 32 bytes")
    assert third.startswith("BETTER_AUTH_SECRET: secret 3 of 3 must have at least 32 bytes")


@pytest.mark.parametrize("url", [f'"{DATABASE}"', f"psql '{DATABASE}'"])
def test_a_database_url_with_quotes_or_psql_around_it_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    set_all(monkeypatch, DATABASE_URL=url, BETTER_AUTH_SECRET=SECRET)
    with pytest.raises(
        InvalidSettings, match=r"^DATABASE_URL: must begin with .*, without quotes or `psql` around it$"
    ):
        load()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DATABASE_URI", "DATABASE_URL"),
        ("DATABASE_ULR", "DATABASE_URL"),
        ("DATABSE_URL", "DATABASE_URL"),
        ("DATABASE_URLS", "DATABASE_URL"),
        ("database_uri", "DATABASE_URL"),
        ("BETTERAUTH_SECRET", "BETTER_AUTH_SECRET"),
        ("CORS_ORIGIN", "CORS_ORIGINS"),
    ],
)
@pytest.mark.parametrize("source", ["environment", ".env"])
def test_a_name_one_edit_away_from_a_setting_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str, source: str
) -> None:
    if source == ".env":
        Path(".env").write_text(f"{name}=hunter2\n")
    else:
        set_all(monkeypatch, **{name: "hunter2"})
    with pytest.raises(InvalidSettings) as wrong:
        load()
    assert str(wrong.value) == f"{name.upper()}: is not a setting; did you mean {meant}?"


def test_a_name_one_edit_away_is_accepted_beside_the_setting_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, DATABASE_URI="for another program", DATABASE_URL=DATABASE, BETTER_AUTH_SECRET=SECRET)
    assert "neon.tech" in load().conninfo


def test_names_of_other_programs_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(
        monkeypatch,
        BETTER_AUTH_SECRETS="2:new,1:old",
        LOGLEVEL="debug",
        DATABASE_URL_UNPOOLED=DATABASE,
        DATABASE="app",
        DATABASE_URI="",
    )
    assert load().model_fields_set == set()


def test_database_url_and_secret_may_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"{DATABASE}\n")
    (tmp_path / "secret").write_text(f"{SECRET},{SECRET[::-1]}\n")
    set_all(monkeypatch, DATABASE_URL_FILE=str(tmp_path / "url"), BETTER_AUTH_SECRET_FILE=str(tmp_path / "secret"))
    loaded = load()
    assert conninfo_to_dict(loaded.conninfo)["password"] == "p@ss"
    assert loaded.secrets == [SECRET, SECRET[::-1]]
    for shown in (repr(loaded), loaded.model_dump_json()):
        assert SECRET not in shown
        assert "p%40ss" not in shown


def test_a_setting_and_its_file_are_refused_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(DATABASE)
    (tmp_path / "secret").write_text(SECRET)
    set_all(monkeypatch, DATABASE_URL=DATABASE, DATABASE_URL_FILE=str(tmp_path / "url"))
    set_all(monkeypatch, BETTER_AUTH_SECRET=SECRET, BETTER_AUTH_SECRET_FILE=str(tmp_path / "secret"))
    with pytest.raises(InvalidSettings) as wrong:
        load()
    assert str(wrong.value).splitlines() == [
        "DATABASE_URL: must not be set together with DATABASE_URL_FILE",
        "BETTER_AUTH_SECRET: must not be set together with BETTER_AUTH_SECRET_FILE",
    ]


def test_the_settings_of_the_log_may_be_written_in_upper_case(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, LOG_LEVEL="WARNING", LOG_FORMAT="JSON", ACCESS_LOG="Errors")
    loaded = load()
    assert (loaded.log_level, loaded.log_format, loaded.access_log) == ("warning", "json", "errors")
