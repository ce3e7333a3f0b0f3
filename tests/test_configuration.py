"""File, variable, flag: what comes later wins, for each kind of value."""

import subprocess

import pytest

import harness

pytestmark = pytest.mark.ours

# What `config check` calls it; the TOML table and key; variable; flag; then a value for each and what is shown of it.
VALUES = {
    "an address": ("S3", "server.s3_listen", '"127.0.0.1:7001"', "STRONGROOM_S3_LISTEN=127.0.0.1:7002",
                   "--s3-listen=127.0.0.1:7003", ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"]),
    "a path": ("data directory", "data_dir", '"/a"', "STRONGROOM_DATA_DIR=/b", "--data-dir=/c", ["/a", "/b", "/c"]),
    "a word": ("region", "server.region", '"a-1"', "STRONGROOM_REGION=b-2", "--region=c-3", ["a-1", "b-2", "c-3"]),
    "a list": ("domains", "server.domains", '["a.example"]', "STRONGROOM_DOMAINS=b.example,bb.example",
               "--domain=c.example", ["a.example", "b.example, bb.example", "c.example"]),
    "a switch that is set": ("SSE-C over HTTP", "server.sse_c_over_http", "false", "STRONGROOM_SSE_C_OVER_HTTP=true",
                             "--sse-c-over-http=no", ["refused", "allowed", "refused"]),
    "a switch that is unset": ("TLS", "server.tls_self_signed", "true", "STRONGROOM_TLS_SELF_SIGNED=0",
                               "--tls-self-signed", ["a certificate made", "off", "a certificate made"]),
    "a switch of the API": ("API tokens", "api.tokens_over_http", "true", "STRONGROOM_API_TOKENS_OVER_HTTP=off",
                            "--api-tokens-over-http", ["from everywhere", "this machine only", "from everywhere"]),
    "a switch that AWS has off": ("SSE-C in new buckets", "server.sse_c_in_new_buckets", "false",
                                  "STRONGROOM_SSE_C_IN_NEW_BUCKETS=yes", "--sse-c-in-new-buckets=no",
                                  ["blocked until it is unblocked", "allowed", "blocked until it is unblocked"]),
    "seconds": ("requests may take", "server.shutdown_grace_seconds", "1", "STRONGROOM_SHUTDOWN_GRACE_SECONDS=2",
                "--shutdown-grace-seconds=3", ["1 s", "2 s", "3 s"]),
    "a rate": ("API configuration", "api.config_requests_per_second", "1",
               "STRONGROOM_API_CONFIG_REQUESTS_PER_SECOND=2", "--api-config-requests-per-second=3",
               ["1 requests", "2 requests", "3 requests"]),
    "a burst": ("API configuration", "api.config_requests_burst", "11", "STRONGROOM_API_CONFIG_REQUESTS_BURST=12",
                "--api-config-requests-burst=13", ["11 at once", "12 at once", "13 at once"]),
    "a size": ("index cache", "store.index_cache_mib", "11", "STRONGROOM_INDEX_CACHE_MIB=12", "--index-cache-mib=13",
               ["11 MiB", "12 MiB", "13 MiB"]),
    "a number": ("re-sealing", "keys.reseal_workers", "3", "STRONGROOM_RESEAL_WORKERS=4", "--reseal-workers=5",
                 ["3 groups", "4 groups", "5 groups"]),
    "days": ("keys rotate", "keys.rotate_after_days", "3", "STRONGROOM_ROTATE_AFTER_DAYS=4", "--rotate-after-days=5",
             ["3 days", "4 days", "5 days"]),
    "seals": ("keys rotate", "keys.rotate_after_seals", "3", "STRONGROOM_ROTATE_AFTER_SEALS=4",
              "--rotate-after-seals=5", [" 3 seals", " 4 seals", " 5 seals"]),
    "GiB": ("keys rotate", "keys.rotate_after_gib", "3", "STRONGROOM_ROTATE_AFTER_GIB=4", "--rotate-after-gib=5",
            [" 3 GiB", " 4 GiB", " 5 GiB"]),
    "time without asking": ("keys of a KMS", "kms.fresh_seconds", "3", "STRONGROOM_KMS_FRESH_SECONDS=4",
                            "--kms-fresh-seconds=5", ["for 3 s without", "for 4 s without", "for 5 s without"]),
    "time kept": ("keys of a KMS", "kms.kept_seconds", "1003", "STRONGROOM_KMS_KEPT_SECONDS=1004",
                  "--kms-kept-seconds=1005", ["for 1003 s", "for 1004 s", "for 1005 s"]),
    "how to log": ("log", "monitoring.log_level", '"error"', "STRONGROOM_LOG_LEVEL=warn", "--log-level=debug",
                   ["error as", "warn as", "debug as"]),
    "a choice": ("log", "monitoring.log_format", '"text"', "STRONGROOM_LOG_FORMAT=json", "--log-format=text",
                 ["as text", "as json", "as text"]),
}


def check(*words, **variables):
    done = subprocess.run(
        [harness.binary(), "config", "check", *map(str, words)],
        env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
    )
    return done.returncode, done.stdout + done.stderr


def shown(told, name):
    """The line of `config check` about one setting."""
    return next(line for line in told.splitlines() if line.startswith(f"  {name} ".ljust(23)) or line.startswith(f"  {name}  "))


@pytest.mark.parametrize("kind", VALUES)
def test_a_flag_wins_over_a_variable_and_that_over_the_file(kind, tmp_path):
    name, key, in_file, variable, flag, expected = VALUES[kind]
    file = tmp_path / "strongroom.toml"
    file.write_text(f"{key} = {in_file}\n")
    variables = dict([variable.split("=", 1)])
    told = [
        check("--config", file),
        check("--config", file, **variables),
        check("--config", file, flag, **variables),
        check(STRONGROOM_CONFIG=str(file)),
    ]
    assert [code for code, _ in told] == [0] * 4, told
    lines = [shown(text, name) for _, text in told]
    for line, part in zip(lines, [*expected, expected[0]], strict=True):
        assert part in line, lines


def test_an_empty_list_wins_too(tmp_path):
    file = tmp_path / "strongroom.toml"
    file.write_text('server.domains = ["a.example"]\n')
    for told in (check("--config", file, STRONGROOM_DOMAINS=""), check("--config", file, "--domain=")):
        assert told[0] == 0 and "none" in shown(told[1], "domains"), told


def test_a_variable_that_is_no_value_is_named():
    for variable, value in (
        ("STRONGROOM_TLS_SELF_SIGNED", "maybe"),
        ("STRONGROOM_INDEX_CACHE_MIB", "much"),
        ("STRONGROOM_S3_LISTEN", "nowhere"),
        ("STRONGROOM_KMS_PROVIDER", "vault"),
    ):
        code, told = check(**{variable: value})
        assert code != 0 and value in told and "panicked" not in told, told
