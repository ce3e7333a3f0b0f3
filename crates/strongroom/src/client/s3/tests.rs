use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;

/// A store that answers one request with `body`, in two pieces, after a head that says 200.
fn store_that_answers(first: &'static str, then: Option<&'static str>) -> Connection {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut seen = Vec::new();
        while !seen.windows(4).any(|four| four == b"\r\n\r\n") {
            let mut piece = [0; 1024];
            let count = stream.read(&mut piece).unwrap();
            seen.extend_from_slice(&piece[..count]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        stream.write_all(format!("{:x}\r\n{first}\r\n", first.len()).as_bytes()).unwrap();
        stream.flush().unwrap();
        // Without a second piece the connection breaks where more was to come.
        if let Some(then) = then {
            stream.write_all(format!("{:x}\r\n{then}\r\n0\r\n\r\n", then.len()).as_bytes()).unwrap();
        }
    });
    Connection {
        endpoint,
        region: "us-east-1".into(),
        credentials: Credentials::new("key", "secret"),
        http: reqwest::Client::new(),
        quiet: true,
    }
}

const FAILED: &str = "<Error><Code>InternalError</Code><Message>The disk is full.</Message>\
                      <RequestId>0123</RequestId></Error>";

#[tokio::test]
async fn a_copy_that_fails_after_its_answer_began_is_a_failure() {
    let error = store_that_answers("  \n", Some(FAILED)).copy(("a", "k"), ("b", "k")).await.unwrap_err();
    assert_eq!(error.to_string(), "s3://b/k: The disk is full (InternalError, request 0123)");
}

#[tokio::test]
async fn a_completion_that_fails_after_its_answer_began_is_a_failure() {
    let etags = ["\"e\"".to_owned()];
    let error =
        store_that_answers(" ", Some(FAILED)).complete_upload("b", "k", "u", &etags).await.unwrap_err();
    assert_eq!(error.to_string(), "s3://b/k: The disk is full (InternalError, request 0123)");
}

#[tokio::test]
async fn a_copy_whose_answer_does_not_say_how_it_ended_is_a_failure() {
    for (first, then) in
        [(" ", Some("\n")), (" ", None), ("<CopyObjectResult>", Some("<ETag>")), ("<A>", Some("</A>"))]
    {
        store_that_answers(first, then).copy(("a", "k"), ("b", "k")).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_copy_is_done_when_its_result_has_arrived() {
    let result = "<CopyObjectResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><ETag>e</ETag></CopyObjectResult>";
    store_that_answers(" \n ", Some(result)).copy(("a", "k"), ("b", "k")).await.unwrap();
}

#[test]
fn a_session_token_goes_with_the_keys_of_its_family_only() {
    let with = |names: &'static [&'static str]| {
        credentials_among(move |name| names.contains(&name).then(|| format!("the {name}")))
            .map(|found| (found.key().to_owned(), found.token().map(str::to_owned)))
    };
    assert_eq!(with(&["AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"]), None);
    assert_eq!(
        with(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]),
        Some(("the AWS_ACCESS_KEY_ID".into(), Some("the AWS_SESSION_TOKEN".into())))
    );
    assert_eq!(
        with(&["STRONGROOM_ACCESS_KEY", "STRONGROOM_SECRET_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"]),
        Some(("the STRONGROOM_ACCESS_KEY".into(), None))
    );
}
