"""Credentials are found in generated definitions, clean ones are left alone, and nothing found is shown anywhere.

The shapes are made here from what providers publish, not from the table that finds them.
"""

import base64
import json
import random
import re
import string

import pytest

from ripresa.contracts.credentials import masked, promises_credential
from ripresa.contracts.errors import SpecInvalid
from ripresa.contracts.spec import load

LETTERS, DIGITS, HEX = string.ascii_letters, string.digits, "0123456789abcdef"
ALNUM, UPPER = LETTERS + DIGITS, string.ascii_uppercase + DIGITS
URL = ALNUM + "_-"


def many(dice, alphabet, count):
    return "".join(dice.choice(alphabet) for _ in range(count))


def jwt(dice):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': many(dice, DIGITS, 8)})}.{many(dice, URL, 43)}"


PROVIDERS = {
    "aws": lambda dice: "AKIA" + many(dice, UPPER, 16),
    "github": lambda dice: dice.choice(["ghp_", "gho_", "ghs_", "ghu_"]) + many(dice, ALNUM, 36),
    "github fine-grained": lambda dice: "github_pat_" + many(dice, ALNUM, 22) + "_" + many(dice, ALNUM, 59),
    "gitlab": lambda dice: "glpat-" + many(dice, URL, 20),
    "slack": lambda dice: f"xoxb-{many(dice, DIGITS, 12)}-{many(dice, DIGITS, 12)}-{many(dice, ALNUM, 24)}",
    "slack webhook": lambda dice: (
        f"https://hooks.slack.com/services/T{many(dice, UPPER, 8)}/B{many(dice, UPPER, 8)}/{many(dice, ALNUM, 24)}"
    ),
    "stripe": lambda dice: "sk_live_" + many(dice, ALNUM, 24),
    "google": lambda dice: "AIza" + many(dice, URL, 35),
    "google oauth": lambda dice: "GOCSPX-" + many(dice, URL, 28),
    "openai": lambda dice: "sk-proj-" + many(dice, ALNUM, 48) + "7",
    "anthropic": lambda dice: "sk-ant-api03-" + many(dice, URL, 93),
    "hugging face": lambda dice: "hf_" + many(dice, LETTERS, 34),
    "npm": lambda dice: "npm_" + many(dice, ALNUM, 36),
    "pypi": lambda dice: "pypi-AgEIcHlwaS5vcmc" + many(dice, URL, 120),
    "docker": lambda dice: "dckr_pat_" + many(dice, URL, 27),
    "sendgrid": lambda dice: f"SG.{many(dice, URL, 22)}.{many(dice, URL, 43)}",
    "twilio": lambda dice: "SK" + many(dice, HEX, 32),
    "mailgun": lambda dice: "key-" + many(dice, HEX, 32),
    "digitalocean": lambda dice: "dop_v1_" + many(dice, HEX, 64),
    "databricks": lambda dice: "dapi" + many(dice, HEX, 32),
    "vault": lambda dice: "hvs." + many(dice, URL, 90),
    "grafana": lambda dice: f"glsa_{many(dice, ALNUM, 32)}_{many(dice, HEX, 8)}",
    "shopify": lambda dice: "shpat_" + many(dice, HEX, 32),
    "azure storage": lambda dice: (
        f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={base64.b64encode(dice.randbytes(64)).decode()}"
    ),
    "telegram": lambda dice: f"{many(dice, DIGITS, 10)}:AA{many(dice, URL, 33)}",
    "terraform": lambda dice: f"{many(dice, ALNUM, 14)}.atlasv1.{many(dice, URL, 67)}",
    "jwt": jwt,
    "private key": lambda dice: "-----BEGIN " + "PRIVATE KEY-----\n" + many(dice, ALNUM, 64),
    "postgres": lambda dice: f"postgresql://app:{many(dice, ALNUM, 12)}@db.internal:5432/sales",
    "redis": lambda dice: f"redis://:{many(dice, ALNUM, 16)}@cache:6379/0",
    "mongodb": lambda dice: f"mongodb+srv://app:{many(dice, ALNUM, 12)}@cluster0.example.com",
    "sql server": lambda dice: f"Server=db;Database=x;User Id=sa;Password={many(dice, ALNUM, 14)};",
    "bearer": lambda dice: f"Authorization: Bearer 7{many(dice, ALNUM, 31)}",
}
"""How the credentials of each look."""


def in_place(dice, secret):
    """A job that holds the secret somewhere where nothing but its shape tells it."""
    place = dice.randrange(4)
    job = {"name": "a", "image": "b:1"}
    if place == 0:
        job["env"] = {"SETTING": secret}
    elif place == 1:
        job["args"] = ["--with", f"x {secret}" if dice.random() < 0.5 else secret]
    elif place == 2:
        job["params"] = {"deep": [{"value": secret}]}
    else:
        job["description"] = f"to try it, use {secret} for now"
    return {"job": job}


def problems_of(value):
    try:
        load(json.dumps(value), "x.json")
    except SpecInvalid as error:
        return error.problems
    return ()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_shape_of_a_provider_is_known_wherever_it_stands(provider):
    dice = random.Random(provider)
    missed = []
    for _ in range(60):
        secret = PROVIDERS[provider](dice)
        found = problems_of(in_place(dice, secret))
        if "hardcoded_secret" not in {one.code for one in found}:
            missed.append(secret)
        core = max(re.split(r"[\s=;]|://[^:]*:|@.*", secret), key=len)
        told = json.dumps([one.to_json() for one in found]) + "".join(map(str, found))
        assert core not in told, "a credential is never shown"
    assert missed == []


NAMES = (
    "DB_PASSWORD", "MYSQL_ROOT_PASSWORD", "PGPASSWORD", "db_pwd", "smtpPassword", "API_KEY", "apiKey", "stripe-api-key",
    "AWS_SECRET_ACCESS_KEY", "SECRET_KEY", "clientSecret", "client_secret", "AUTH_TOKEN", "accessToken", "SLACK_TOKEN",
    "PRIVATE_KEY", "ENCRYPTION_KEY", "passphrase", "CREDENTIALS", "DATADOG_API_KEY", "SIGNING_KEY_2", "DB_PASS",
)  # fmt: skip
OTHER_NAMES = (
    "max_tokens", "MAX_TOKEN", "next_page_token", "partition_key", "primary_key", "sort_key", "cache_key", "key",
    "password_file", "SECRET_NAME", "secret_path", "token_url", "tokenizer", "passengers", "author", "bypass", "keys",
    "monkey", "keyboard", "secretary", "S3_KEY_PREFIX", "PUBLIC_KEY", "authority", "passes", "pass_rate", "compass",
    "idempotency_key",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_promises_a_credential_is_believed(name):
    assert promises_credential(name)
    codes = [
        one.code for one in problems_of({"job": {"name": "a", "image": "b", "env": {name.replace("-", "_"): "x7"}}})
    ]
    assert codes == ["hardcoded_secret"]


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_a_name_that_only_sounds_like_it_is_not(name):
    assert not promises_credential(name)


@pytest.mark.parametrize(
    "value",
    ["", "{{ config.password }}", "${DB_PASSWORD}", "$PW", "secret:sales/db#password", "env:PW", "file:/run/secrets/pw",
     "/run/secrets/pw", "<your password>", "none", "https://example.com/tokens", "arn:aws:secretsmanager:eu:1:x"],
)  # fmt: skip
def test_a_reference_a_path_or_a_template_is_no_credential(value):
    assert problems_of({"job": {"name": "a", "image": "b", "env": {"DB_PASSWORD": value}}}) == ()


WORDS = ("daily", "sales", "load", "extract", "report", "region", "table", "orders", "raw", "clean", "lake", "batch")


def clean_value(dice):
    kind = dice.randrange(14)
    word, other = dice.choice(WORDS), dice.choice(WORDS)
    return (
        f"{word}_{other}",
        f"s3://{word}-bucket/{other}/year={dice.randrange(2020, 2030)}/",
        f"https://{word}.example.com/{other}?page={dice.randrange(9)}",
        "{{ params.region }}",
        f"--{word}={other}",
        f"sha256:{many(dice, HEX, 64)}",
        "-".join((many(dice, HEX, 8), many(dice, HEX, 4), many(dice, HEX, 4), many(dice, HEX, 4), many(dice, HEX, 12))),
        f"jdbc:postgresql://db:5432/{word}",
        f"SELECT {word}, count(*) FROM {other} WHERE token = 'x' GROUP BY 1",
        f"{many(dice, HEX, 40)}",
        f"/data/{word}/{other}.parquet",
        f"postgres://{word}@db/{other}",
        str(dice.randrange(10**6)),
        f"python -m {word}.{other} --date {{{{ ds }}}} --key {word}",
    )[kind]


def clean(dice):
    keys = [*OTHER_NAMES, *WORDS, "BUCKET", "TABLE", "MODE", "region", "endpoint", "dsn_name"]
    jobs = []
    for number in range(dice.randrange(1, 6)):
        job = {"name": f"job_{number}", "image": f"{dice.choice(WORDS)}/{dice.choice(WORDS)}:1.{number}"}
        job["description"] = f"{' '.join(dice.choices(WORDS, k=6))}; the password is in the vault, the token expires"
        job["args"] = [clean_value(dice) for _ in range(dice.randrange(4))]
        job["params"] = {dice.choice(keys).replace("-", "_"): clean_value(dice) for _ in range(1)}
        job["env"] = {f"X_{dice.choice(keys).upper().replace('-', '_')}": clean_value(dice) for _ in range(3)}
        job["secrets"] = {"DB_PASSWORD": "secret:sales/db#password", "API_TOKEN": "env:API_TOKEN"}
        jobs.append({"job": job})
    return {"workflow": {"name": "w", "jobs": jobs}}


def test_of_a_thousand_clean_definitions_at_most_ten_are_suspected():
    dice = random.Random(7)
    suspected = []
    for _ in range(1000):
        codes = [one for one in problems_of(clean(dice)) if one.code == "hardcoded_secret"]
        suspected += codes[:1]
    assert len(suspected) <= 10, [str(one) for one in suspected]


def test_a_credential_in_a_broken_file_is_not_shown_either():
    for text in (
        "job:\n  env: {DB_PASSWORD: hunter2",
        "job:\n  env:\n    DB_PASSWORD: hunter2: x\n",
        "job:\n  args: ['--password', 'hunter2', ]]\n",
        "job:\n  args: [postgres://bob:hunter2@db/x, {{]\n",
    ):
        with pytest.raises(SpecInvalid) as caught:
            load(text, "x.yaml")
        assert "hunter2" not in str(caught.value)


def test_what_is_masked_is_all_of_it_and_only_it():
    assert masked("DB_PASSWORD: hunter2") == "DB_PASSWORD: •••"
    assert masked("password: secret:sales/db#password") == "password: secret:sales/db#password"
    assert masked("postgres://u:pw@h/db") == "postgres://u:•••@h/db"
    assert masked("run --password hunter2 --max-tokens 5") == "run --password ••• --max-tokens 5"
    assert masked("name: extract_sales") == "name: extract_sales"
