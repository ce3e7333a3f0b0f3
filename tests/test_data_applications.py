"""Libraries that keep data sets in S3: too large to install for CI, so `cargo xtask soak --only applications` runs them in an environment of
their own (requirements-applications.txt)."""

import concurrent.futures
import pathlib

import pytest

from conftest import fresh_name
from content import MIB, data
from harness import ACCESS_KEY, REGION, SECRET_KEY

pytestmark = pytest.mark.slow

ROWS = 100_000
WRITERS = 6
ROUNDS = 5
ROWS_PER_WRITE = 100


class Place:
    """A bucket, and how each library is told where it is."""

    def __init__(self, s3, url, authority):
        self.s3, self.url, self.authority = s3, url, authority
        self.scheme, self.host = url.split("://")
        self.bucket = fresh_name("data")
        s3.create_bucket(Bucket=self.bucket)
        # What the crate object_store understands, which is below polars and deltalake.
        self.options = {
            "aws_endpoint_url": url,
            "aws_access_key_id": ACCESS_KEY,
            "aws_secret_access_key": SECRET_KEY,
            "aws_region": REGION,
            "aws_allow_http": str(self.scheme == "http").lower(),
        }

    def fsspec(self):
        trust = {"verify": str(self.authority)} if self.authority else {}
        at = {"endpoint_url": self.url, "region_name": REGION} | trust
        retries = {"retries": {"total_max_attempts": 1}}
        return {"key": ACCESS_KEY, "secret": SECRET_KEY, "client_kwargs": at, "config_kwargs": retries}


@pytest.fixture(params=["http", "https", "kms and versions"])
def place(request, server, s3, tls_server, tls_s3, certificates, monkeypatch):
    if request.param == "https":
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
        return Place(tls_s3, tls_server.s3_url, certificates.authority)
    made = Place(s3, server.s3_url, None)
    if request.param != "http":
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}, "BucketKeyEnabled": True}
        s3.put_bucket_encryption(Bucket=made.bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
        s3.put_bucket_versioning(Bucket=made.bucket, VersioningConfiguration={"Status": "Enabled"})
    return made


@pytest.fixture(scope="module")
def table():
    import pyarrow

    columns = {"i": range(ROWS), "p": [i % 7 for i in range(ROWS)], "s": [f"row {i}" for i in range(ROWS)]}
    return pyarrow.table({name: list(values) for name, values in columns.items()})


def test_pyarrow(place, table):
    from pyarrow import dataset, fs, parquet

    trust = {"tls_ca_file_path": str(place.authority)} if place.authority else {}
    s3 = fs.S3FileSystem(
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        endpoint_override=place.host,
        scheme=place.scheme,
        region=REGION,
        **trust,
    )
    parquet.write_table(table, f"{place.bucket}/one.parquet", filesystem=s3)
    assert parquet.read_table(f"{place.bucket}/one.parquet", filesystem=s3).equals(table)
    parts = {"filesystem": s3, "format": "parquet", "partitioning": ["p"], "partitioning_flavor": "hive"}
    dataset.write_dataset(table, f"{place.bucket}/parts", **parts)
    found = dataset.dataset(f"{place.bucket}/parts", filesystem=s3, partitioning="hive")
    assert found.count_rows() == ROWS
    assert found.to_table(filter=dataset.field("p") == 3).num_rows == len(range(3, ROWS, 7))
    large = data(30 * MIB, 4)
    with s3.open_output_stream(f"{place.bucket}/large") as stream:
        stream.write(large)
    s3.move(f"{place.bucket}/large", f"{place.bucket}/moved")
    with s3.open_input_file(f"{place.bucket}/moved") as stream:
        stream.seek(7 * MIB)
        assert stream.read(MIB) == large[7 * MIB : 8 * MIB]
    s3.create_dir(f"{place.bucket}/empty/folder")
    assert s3.get_file_info(f"{place.bucket}/empty").type == fs.FileType.Directory
    s3.delete_dir(f"{place.bucket}/parts")
    left = s3.get_file_info(fs.FileSelector(place.bucket))
    assert sorted(entry.base_name for entry in left) == ["empty", "moved", "one.parquet"]


def test_s3fs_and_pandas(place, table, tmp_path):
    import pandas
    import s3fs

    files = s3fs.S3FileSystem(**place.fsspec(), skip_instance_cache=True)
    at = f"{place.bucket}/files"
    large = data(13 * MIB, 5)
    with files.open(f"{at}/large", "wb", block_size=5 * MIB) as stream:
        stream.write(large)
    with files.open(f"{at}/large", "ab") as stream:
        stream.write(b"tail")
    assert files.cat(f"{at}/large") == large + b"tail"
    files.mv(f"{at}/large", f"{at}/moved")
    files.setxattr(f"{at}/moved", colour="blue")
    assert files.getxattr(f"{at}/moved", "colour") == "blue"
    files.put_tags(f"{at}/moved", {"a": "b"})
    assert files.get_tags(f"{at}/moved") == {"a": "b"}
    files.merge(f"{at}/merged", [f"{at}/moved", f"{at}/moved"])
    assert files.cat(f"{at}/merged") == 2 * (large + b"tail")
    files.pipe_file(f"{at}/once", b"1", mode="create")
    with pytest.raises(FileExistsError):
        files.pipe_file(f"{at}/once", b"2", mode="create")
    (tmp_path / "up").mkdir()
    for number in range(20):
        (tmp_path / "up" / f"{number} ü").write_bytes(data(1000, number))
    files.put(str(tmp_path / "up"), f"{at}/up", recursive=True)
    files.get(f"{at}/up", str(tmp_path / "down"), recursive=True)
    assert all((tmp_path / "down" / f"{n} ü").read_bytes() == data(1000, n) for n in range(20))
    frame = table.to_pandas()
    frame.to_parquet(f"s3://{place.bucket}/pandas.parquet", storage_options=place.fsspec())
    assert pandas.read_parquet(f"s3://{place.bucket}/pandas.parquet", storage_options=place.fsspec()).equals(frame)


def test_polars(place, table):
    import polars

    frame = polars.from_arrow(table)
    for name in ("a", "b"):
        frame.lazy().sink_parquet(f"s3://{place.bucket}/polars/{name}.parquet", storage_options=place.options)
    both = polars.scan_parquet(f"s3://{place.bucket}/polars/*.parquet", storage_options=place.options)
    assert both.select(polars.len()).collect().item() == 2 * ROWS
    assert both.filter(polars.col("i") < 5).collect().height == 10
    frame.lazy().sink_csv(f"s3://{place.bucket}/polars.csv", storage_options=place.options)
    assert polars.scan_csv(f"s3://{place.bucket}/polars.csv", storage_options=place.options).collect().equals(frame)


def test_deltalake_loses_no_commit_of_concurrent_writers(place, table):
    from deltalake import DeltaTable, write_deltalake

    at = f"s3://{place.bucket}/delta"
    options = place.options | {"conditional_put": "etag"}
    write_deltalake(at, table.slice(0, ROWS_PER_WRITE), storage_options=options)

    def write(number):
        part = table.slice(ROWS_PER_WRITE * (number + 1), ROWS_PER_WRITE)
        for _ in range(ROUNDS):
            write_deltalake(at, part, mode="append", storage_options=options)

    with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    commits = 1 + WRITERS * ROUNDS
    found = DeltaTable(at, storage_options=options)
    assert (found.version(), found.to_pyarrow_table().num_rows) == (commits - 1, commits * ROWS_PER_WRITE)
    found.optimize.compact()
    found.create_checkpoint()
    found.delete("i < 10")
    found.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    again = DeltaTable(at, storage_options=options)
    assert again.to_pyarrow_table().num_rows == commits * ROWS_PER_WRITE - 10


def test_duckdb(place, table):
    import duckdb
    import duckdb_extension_httpfs

    database = duckdb.connect()
    # Its own way to get an extension is a download; this one comes as a package.
    folder = pathlib.Path(duckdb_extension_httpfs.__file__).parent
    (extension,) = folder.rglob("httpfs.duckdb_extension")
    database.execute(f"LOAD '{extension}'")
    tls = place.scheme == "https"
    database.execute(
        f"CREATE SECRET (TYPE s3, KEY_ID '{ACCESS_KEY}', SECRET '{SECRET_KEY}', REGION '{REGION}', "
        f"ENDPOINT '{place.host}', URL_STYLE 'path', USE_SSL {tls})"
    )
    if tls:
        database.execute(f"SET ca_cert_file='{place.authority}'")
    database.register("rows", table)
    one = lambda query: database.execute(query).fetchone()
    at = f"s3://{place.bucket}/duckdb"
    database.execute(f"COPY rows TO '{at}/one.parquet'")
    assert one(f"SELECT count(*), sum(i) FROM '{at}/one.parquet'") == (ROWS, sum(range(ROWS)))
    database.execute(f"COPY rows TO '{at}/parts' (FORMAT parquet, PARTITION_BY (p))")
    assert one(f"SELECT count(*) FROM '{at}/parts/**/*.parquet' WHERE p = 3") == (len(range(3, ROWS, 7)),)
    # Large enough for an upload in parts.
    database.execute(f"COPY (SELECT range, md5(range::VARCHAR) FROM range(1500000)) TO '{at}/large.csv'")
    assert one(f"SELECT count(*) FROM '{at}/large.csv'") == (1_500_000,)
