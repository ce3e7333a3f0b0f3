"""Every operation of AWS's API reference, as the SDK knows it: done, or refused as not implemented and nothing else.

What the library behind the S3 face does not know could otherwise pass for another operation: a rename, say, is a PUT
with a query that nobody looks at. So each is sent once to a bucket and an object that must then be as before."""

import pathlib
import re

import pytest
from botocore.exceptions import ClientError

import harness
from conftest import fresh_name
from content import data, read

pytestmark = pytest.mark.ours
ROOT = pathlib.Path(__file__).parent.parent
MODEL = harness.client("http://127.0.0.1:9").meta
OPERATIONS = sorted(MODEL.service_model.operation_names)
# Older names of the same request, which the SDK keeps for its users.
OLD_NAMES = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
}
# Requests of their own hosts, to which no bucket of ours answers.
ELSEWHERE = {"WriteGetObjectResponse"}
# Signed for another service.
OTHERWISE = {"ListDirectoryBuckets": {"AuthorizationHeaderMalformed"}}
BODY = data(2000, 99)


def done():
    """The operations that the S3 face has, from the list in which it names them."""
    face = (ROOT / "crates/s3/src/face.rs").read_text()
    named = re.findall(r"^    (\w+)\(\w+Input\)", face[face.index("operations! {") :], re.MULTILINE)
    return {"".join(word.capitalize() for word in name.split("_")) for name in named}


DONE = done()


def names(cell):
    """`GetX, Get/Put/DeleteY, DeleteZ(Configuration)`, one by one."""
    for word in cell.split(", "):
        *verbs, last = word.split("/")
        verb = re.match(r"Get|Put|Delete|List|Create", last)
        for short in [last, *(earlier + last[verb.end() :] for earlier in verbs if verb)]:
            name, _, more = short.partition("(")
            yield from {name, name + more.rstrip(")")}


def rows():
    """Operation → what `docs/s3-compatibility.md` says in the column "done"."""
    found = {}
    for line in (ROOT / "docs/s3-compatibility.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        for name in names(cells[0]) if line.startswith("|") and len(cells) == 3 else ():
            if name in OPERATIONS:
                assert name not in found, f"{name} has two rows"
                found[name] = cells[1]
    return found


def test_the_face_has_the_operations_that_it_names():
    assert {"GetObject", "PutObject", "ListObjectsV2", "ListBuckets"} <= DONE <= set(OPERATIONS), DONE - set(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_has_a_row(name):
    name = OLD_NAMES.get(name, name)
    row = rows().get(name)
    assert row is not None, f"docs/s3-compatibility.md has no row for {name}"
    assert (row != "no") == (name in DONE), f"the row of {name} says {row!r}"


def value(shape, name=""):
    """The least that a request of this shape may carry."""
    if getattr(shape, "is_tagged_union", False):
        member = next(iter(shape.members))
        return {member: value(shape.members[member], member)}
    if shape.type_name == "structure":
        return {member: value(shape.members[member], member) for member in shape.required_members}
    if shape.type_name == "list":
        return [value(shape.member)]
    if shape.type_name == "map":
        return {}
    if shape.type_name == "string":
        return shape.enum[0] if getattr(shape, "enum", None) else "x" * shape.metadata.get("min", 1)
    return {"integer": 1, "long": 1, "boolean": False, "blob": b"x", "timestamp": 0, "float": 1.0, "double": 1.0}[shape.type_name]


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - DONE - set(OLD_NAMES) - ELSEWHERE))
def test_an_operation_that_is_not_done_says_so_and_does_nothing(s3, name):
    bucket = fresh_name("nothing")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=BODY)
    shape = MODEL.service_model.operation_model(name).input_shape
    request = value(shape) if shape else {}
    places = {"Bucket": bucket, "Key": "k", "RenameSource": f"/{bucket}/other"}
    request |= {member: place for member, place in places.items() if member in shape.members}
    method = next(method for method, operation in MODEL.method_to_api_mapping.items() if operation == name)
    with pytest.raises(ClientError) as refused:
        getattr(s3, method)(**request)
    code = refused.value.response["Error"]["Code"]
    # Where the path alone says which operation it is, its document may be looked at first.
    assert code in {"NotImplemented", "MethodNotAllowed", "MalformedXML"} | OTHERWISE.get(name, set()), refused.value
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["k"]
    assert read(s3.get_object(Bucket=bucket, Key="k")) == BODY
