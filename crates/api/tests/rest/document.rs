//! The description of the API is true.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::client::Answer;
use crate::support::Server;

const METHODS: [&str; 5] = ["GET", "PUT", "POST", "PATCH", "DELETE"];

async fn document(server: &Server) -> Value {
    let answer = server.ask("", "GET", "/api/v1/openapi.json", &[], "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Every path of the document, with something in the place of each name, and its operations.
fn paths(document: &Value) -> Vec<(String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let filled = paths.iter().map(|(path, operations)| {
        let segments = path.split('/').map(|part| if part.starts_with('{') { "nothing" } else { part });
        (segments.collect::<Vec<_>>().join("/"), operations.clone())
    });
    filled.collect()
}

fn described(operations: &Value) -> BTreeSet<String> {
    let methods = operations.as_object().unwrap().keys().map(|name| name.to_uppercase());
    methods.filter(|name| METHODS.contains(&name.as_str())).collect()
}

#[tokio::test]
async fn every_path_takes_the_methods_that_the_document_says_and_no_others() {
    let server = Server::start().await;
    for (path, operations) in paths(&document(&server).await) {
        let described = described(&operations);
        assert!(!described.is_empty(), "{path}");
        for method in METHODS {
            let answer = server.root(method, &path, &[], "").await;
            let taken = answer.status != 405;
            assert_eq!(taken, described.contains(method), "{method} {path}: {answer:?}");
            if !taken {
                let allowed: BTreeSet<_> =
                    answer.headers["allow"].split(',').map(|name| name.trim().to_owned()).collect();
                assert!(described.is_subset(&allowed), "{path}: {allowed:?}");
            }
        }
    }
}

#[tokio::test]
async fn every_answer_that_a_wild_request_gets_is_described() {
    let server = Server::start().await;
    server.bucket("wild").await;
    let document = document(&server).await;
    let is_described = |operation: &Value, answer: &Answer| {
        operation["responses"].as_object().unwrap().contains_key(&answer.status.to_string())
    };
    for (path, operations) in paths(&document) {
        let path = path.replacen("/buckets/nothing", "/buckets/wild", 1);
        for method in described(&operations) {
            let operation = &operations[method.to_lowercase()];
            for (headers, body) in [
                (&[][..], ""),
                (&[][..], "{}"),
                (&[][..], "{\"unknown\": 1}"),
                (&["Content-Type: text/plain"][..], "x"),
                (&["If-Match: \"nothing\""][..], "{\"enabled\": true}"),
            ] {
                let answer = server.root(&method, &path, headers, body).await;
                assert!(is_described(operation, &answer), "{method} {path} {headers:?} {body}: {answer:?}");
                if answer.status >= 400 {
                    let error = &answer.json()["error"];
                    assert!(error["code"].is_string() && error["message"].is_string(), "{answer:?}");
                    assert_eq!(error["request_id"], answer.headers["x-request-id"], "{answer:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn nothing_but_the_document_is_for_everybody() {
    let server = Server::start().await;
    for (path, operations) in paths(&document(&server).await) {
        for method in described(&operations) {
            let answer = server.ask("", &method, &path, &[], "").await;
            if path == "/api/v1/openapi.json" {
                assert_eq!(answer.status, 200);
                continue;
            }
            assert_eq!(answer.status, 401, "{method} {path}: {answer:?}");
            assert_eq!(answer.json()["error"]["code"], "TokenMissing");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
            let answer = server.ask("srt_made_up", &method, &path, &[], "").await;
            assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (401, Some("TokenInvalid")));
        }
    }
}

#[tokio::test]
async fn every_name_in_the_document_leads_somewhere() {
    let server = Server::start().await;
    let document = document(&server).await;
    let text = document.to_string();
    let mut references = 0;
    for part in text.split("\"$ref\":\"").skip(1) {
        let name = part.split('"').next().unwrap();
        let pointer = name.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{name}");
        references += 1;
    }
    assert!(references > 50, "{references}");
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
}
