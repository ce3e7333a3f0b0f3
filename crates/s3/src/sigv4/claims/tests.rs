use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);
const HERE: Here<'_> =
    Here { service: "s3", region: "us-east-1", now: NOW, skew_max: Duration::from_secs(900) };
const SCOPE: &str = "a/20260101/us-east-1/s3/aws4_request";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect()
}

fn refused(query: &str, headers: &HeaderMap) -> Option<(u16, String, String)> {
    let error = check(query, headers, &HERE).err()?;
    Some((error.status.as_u16(), error.code.into_owned(), error.message.into_owned()))
}

fn signed(authorization: &str) -> HeaderMap {
    headers(&[
        ("authorization", authorization),
        ("x-amz-date", "20260101T120000Z"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
    ])
}

#[test]
fn every_mistake_in_an_authorization_header_has_its_own_sentence() {
    let good = format!("AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host, Signature=00");
    assert_eq!(refused("", &signed(&good)), None);
    let of_scope = |scope: &str| good.replace(SCOPE, scope);
    for (authorization, code, sentence) in [
        ("invalid".to_owned(), "InvalidArgument", "one and only one ' ' (space) required"),
        ("Bearer x".to_owned(), "InvalidArgument", "Unsupported Authorization Type"),
        (good.replace("AWS4-HMAC", "AWS2-HMAC"), "InvalidArgument", "Unsupported Authorization Type"),
        ("AWS AKIA:c2ln".to_owned(), "InvalidRequest", "not supported. Please use AWS4-HMAC-SHA256."),
        (good.replace("AWS4-HMAC", "AWS4-ECDSA-P256"), "NotImplemented", ""),
        (good.replace(", Signature=00", ""), MALFORMED, "requires three components"),
        (
            good.replace("SignedHeaders=", "SignedHeaders-"),
            MALFORMED,
            "component \"SignedHeaders-host\" is malformed.",
        ),
        (good.replace("Credential=", "x="), MALFORMED, "missing Credential."),
        (good.replace("SignedHeaders=", "x="), MALFORMED, "missing SignedHeaders."),
        (good.replace("Signature=", "x="), MALFORMED, "missing Signature."),
        (of_scope("a/b/c"), MALFORMED, "the Credential is mal-formed"),
        (of_scope("/20260101/us-east-1/s3/aws4_request"), MALFORMED, "the Credential is mal-formed"),
        (of_scope("a/20260101/us-east-1/s3/aws4_request/x"), MALFORMED, "the Credential is mal-formed"),
        (of_scope("a/1/us-east-1/s3/aws_request"), MALFORMED, "incorrect terminal \"aws_request\"."),
        (of_scope("a/1/us-east-1/ec2/aws4_request"), MALFORMED, "incorrect service \"ec2\"."),
        (
            of_scope("a/1/us_east_1/s3/aws4_request"),
            MALFORMED,
            "the region 'us_east_1' is wrong; expecting 'us-east-1'",
        ),
        (of_scope("a/1/us-east-1/s3/aws4_request"), MALFORMED, "incorrect date format \"1\"."),
        (of_scope("a/20250101/us-east-1/s3/aws4_request"), MALFORMED, "Invalid credential date."),
    ] {
        let (_, given, message) = refused("", &signed(&authorization)).expect(&authorization);
        assert_eq!(given, code, "{authorization}");
        assert!(message.contains(sentence), "{authorization}: {message}");
    }
}

#[test]
fn token_service_has_sentences_of_its_own() {
    let good = format!("AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host, Signature=00")
        .replace("/s3/", "/sts/");
    let here = Here { service: "sts", ..HERE };
    let told = |authorization: &str, here: &Here<'_>| {
        let error = check("", &signed(authorization), here).err()?;
        assert_eq!(error.status.as_u16(), 403, "{authorization}");
        Some(format!("{}: {}", error.code, error.message))
    };
    assert_eq!(told(&good, &here), None);
    let later = |seconds| Here { now: NOW + Duration::from_secs(seconds), ..here };
    let earlier = Here { now: NOW - Duration::from_secs(901), ..here };
    for (authorization, here, said) in [
        (
            good.replace("/sts/", "/s3/"),
            here,
            "SignatureDoesNotMatch: Credential should be scoped to correct service: 'sts'.",
        ),
        (
            good.replace("aws4_request", "aws5"),
            here,
            "SignatureDoesNotMatch: Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5'.",
        ),
        (
            good.replace("20260101", "20251231"),
            here,
            "SignatureDoesNotMatch: Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
             '20251231' != '20260101', from '20260101T120000Z'.",
        ),
        (
            good.clone(),
            later(901),
            "SignatureDoesNotMatch: Signature expired: 20260101T120000Z is now earlier than 20260101T120001Z \
             (20260101T121501Z - 15 min.)",
        ),
        (
            good.clone(),
            earlier,
            "SignatureDoesNotMatch: Signature not yet current: 20260101T120000Z is still later than 20260101T115959Z \
             (20260101T114459Z + 15 min.)",
        ),
        ("nothing".to_owned(), here, "MissingAuthenticationToken: Request is missing Authentication Token"),
        ("Bearer x".to_owned(), here, "MissingAuthenticationToken: Request is missing Authentication Token"),
    ] {
        assert_eq!(told(&authorization, &here).as_deref(), Some(said), "{authorization}");
    }
    assert_eq!(told(&good, &later(900)), None);
    let undated = headers(&[("authorization", &good)]);
    let error = check("", &undated, &here).unwrap_err();
    assert_eq!((error.status.as_u16(), &*error.code), (400, "IncompleteSignature"));
}

const MALFORMED: &str = "AuthorizationHeaderMalformed";

#[test]
fn a_request_without_a_good_time_or_payload_is_told_so() {
    let authorization = format!("AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host, Signature=00");
    let with = |pairs: &[(&'static str, &str)]| {
        let mut all = headers(pairs);
        all.insert("authorization", HeaderValue::from_str(&authorization).unwrap());
        refused("", &all).map(|(status, code, _)| (status, code))
    };
    let hash = "0".repeat(64);
    let good = ("x-amz-content-sha256", hash.as_str());
    let told = |status, code: &str| Some((status, code.to_owned()));
    assert_eq!(with(&[good, ("x-amz-date", "20260101T120000Z")]), None);
    assert_eq!(with(&[good, ("date", "Thu, 01 Jan 2026 12:00:00 GMT")]), None);
    assert_eq!(with(&[good]), told(403, "AccessDenied"));
    assert_eq!(with(&[good, ("x-amz-date", "2026")]), told(403, "AccessDenied"));
    assert_eq!(with(&[good, ("x-amz-date", "20260101T121501Z")]), told(403, "RequestTimeTooSkewed"));
    assert_eq!(with(&[("x-amz-date", "20260101T120000Z")]), told(400, "InvalidRequest"));
    let bad = ("x-amz-content-sha256", "hash");
    assert_eq!(with(&[bad, ("x-amz-date", "20260101T120000Z")]), told(400, "InvalidArgument"));
}

#[test]
fn time_of_a_date_header_is_put_where_the_library_looks() {
    let mut of_date = headers(&[("authorization", "AWS4-X"), ("date", "Thu, 01 Jan 2026 12:00:00 +0000")]);
    date_into_header(&mut of_date);
    assert_eq!(of_date["x-amz-date"], "20260101T120000Z");
    for pairs in [
        &[("date", "Thu, 01 Jan 2026 12:00:00 GMT")] as &[_],
        &[("authorization", "AWS4-X"), ("date", "noon")],
    ] {
        let mut others = headers(pairs);
        date_into_header(&mut others);
        assert!(!others.contains_key("x-amz-date"), "{pairs:?}");
    }
}

#[test]
fn every_mistake_in_a_presigned_url_has_its_own_sentence() {
    let good = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date=20260101T115930Z&X-Amz-Expires=60\
         &X-Amz-SignedHeaders=host&X-Amz-Signature={}",
        SCOPE.replace('/', "%2F"),
        "0".repeat(64)
    );
    let none = HeaderMap::new();
    assert_eq!(refused(&good, &none), None);
    const WRONG: &str = "AuthorizationQueryParametersError";
    for (from, to, code, sentence) in [
        ("AWS4-HMAC-SHA256", "AWS4-SHA256", WRONG, "X-Amz-Algorithm only supports"),
        ("AWS4-HMAC", "AWS4-ECDSA-P256", "NotImplemented", ""),
        ("X-Amz-Algorithm=", "x=", WRONG, "requires the X-Amz-Algorithm"),
        ("X-Amz-Expires=60&", "", WRONG, "requires the X-Amz-Algorithm"),
        ("X-Amz-Expires=60", "X-Amz-Expires=60&X-Amz-Expires=61", WRONG, "requires the X-Amz-Algorithm"),
        ("X-Amz-Signature=", "X%2DAmz-Signature=", WRONG, "requires the X-Amz-Algorithm"),
        ("a%2F20260101", "20260101", WRONG, "parameter; the Credential is mal-formed"),
        ("%2Fs3%2F", "%2Fsns%2F", WRONG, "incorrect service \"sns\""),
        ("us-east-1", "us_east_1", WRONG, "the region 'us_east_1' is wrong"),
        ("aws4_request", "aws5_request", WRONG, "incorrect terminal \"aws5_request\""),
        ("F20260101%", "F2026%", WRONG, "incorrect date format \"2026\""),
        (
            "F20260101%",
            "F20250101%",
            WRONG,
            "date \"20250101\". This date is not the same as X-Amz-Date: \"20260101\".",
        ),
        ("20260101T115930Z", "noon", WRONG, "ISO8601 Long Format"),
        ("Expires=60", "Expires=x", WRONG, "should be a number"),
        ("Expires=60", "Expires=", WRONG, "should be a number"),
        ("Expires=60", "Expires=-3", WRONG, "must be non-negative"),
        ("Expires=60", "Expires=604801", WRONG, "must be less than a week"),
        ("Expires=60", "Expires=99999999999999999999999", WRONG, "must be less than a week"),
        ("Expires=60", "Expires=29", "AccessDenied", "Request has expired"),
        ("T115930Z", "T121501Z", "AccessDenied", "Request is not valid yet"),
        ("Signature=0", "Signature=x", "SignatureDoesNotMatch", ""),
    ] {
        assert!(good.contains(from), "{from}");
        let (_, given, message) = refused(&good.replacen(from, to, 1), &none).expect(to);
        assert_eq!(given, code, "{to}");
        assert!(message.contains(sentence), "{to}: {message}");
    }
    let both = refused(&good, &signed("AWS4-HMAC-SHA256 x"));
    assert!(both.unwrap().2.starts_with("Only one auth mechanism allowed"));
    let error = check(&good.replace("Expires=60", "Expires=29"), &none, &HERE).unwrap_err();
    let fields = [
        ("X-Amz-Expires", "29"),
        ("Expires", "2026-01-01T11:59:59Z"),
        ("ServerTime", "2026-01-01T12:00:00Z"),
    ];
    assert_eq!(error.fields, fields.map(|(name, value)| (name, value.to_owned())));
}

#[test]
fn an_old_presigned_url_needs_its_three_parameters_and_time() {
    let none = HeaderMap::new();
    let message = |query: &str| refused(query, &none).map(|(_, _, message)| message);
    assert_eq!(message("AWSAccessKeyId=a&Signature=b&Expires=1767268801"), None);
    assert!(message("Signature=b&Expires=1").unwrap().contains("requires the Signature, Expires"));
    assert!(message("AWSAccessKeyId=a&Signature=b").unwrap().contains("requires the Signature, Expires"));
    assert!(message("AWSAccessKeyId=a&Signature=b&Expires=x").unwrap().ends_with("since epoch): x"));
    assert_eq!(message("AWSAccessKeyId=a&Signature=b&Expires=1").as_deref(), Some("Request has expired"));
    assert_eq!(message("Expires=1&prefix=a"), None);
}
