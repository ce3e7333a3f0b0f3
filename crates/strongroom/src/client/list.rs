//! `ls` and `stat`.

use serde_json::{Map, Value, json};

use super::{ClientError, Connection, ListArgs, StatArgs};
use crate::terminal::harmless;

pub(super) async fn run(args: &ListArgs) -> Result<(), ClientError> {
    let connection = Connection::new(&args.connection)?;
    let Some(location) = &args.location else {
        for bucket in connection.buckets().await?.buckets.bucket {
            if args.json {
                println!("{}", json!({"bucket": bucket.name, "created": bucket.creation_date}));
            } else {
                println!("{}  s3://{}", bucket.creation_date, bucket.name);
            }
        }
        return Ok(());
    };
    let mut token = None;
    loop {
        let page = connection.list(&location.bucket, &location.key, args.recursive, token.as_deref()).await?;
        for prefix in &page.common_prefixes {
            if args.json {
                println!("{}", json!({"prefix": prefix.prefix}));
            } else {
                println!("{:>24}  {:>12}  {}", "", "", harmless(&prefix.prefix));
            }
        }
        for object in &page.contents {
            if args.json {
                let etag = object.etag.trim_matches('"');
                println!(
                    "{}",
                    json!({"key": object.key, "size": object.size, "modified": object.last_modified, "etag": etag})
                );
            } else {
                println!("{:>24}  {:>12}  {}", object.last_modified, object.size, harmless(&object.key));
            }
        }
        match page.next_continuation_token {
            Some(next) => token = Some(next),
            None => return Ok(()),
        }
    }
}

pub(super) async fn stat(args: &StatArgs) -> Result<(), ClientError> {
    let (bucket, key) = args.location.object()?;
    let answer = Connection::new(&args.connection)?.head(bucket, key).await?;
    let mut facts: Vec<(String, String)> = answer
        .headers()
        .iter()
        .filter(|(name, _)| {
            !matches!(name.as_str(), "date" | "server" | "connection" | "x-amz-request-id" | "x-amz-id-2")
        })
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    facts.sort();
    if args.json {
        let mut object: Map<String, Value> =
            facts.into_iter().map(|(name, value)| (name, value.into())).collect();
        object.insert("bucket".into(), bucket.into());
        object.insert("key".into(), key.into());
        println!("{}", Value::Object(object));
    } else {
        println!("{}", args.location);
        for (name, value) in facts {
            println!("  {name:<36} {}", harmless(&value));
        }
    }
    Ok(())
}
