//! `rm`.

use super::copy::Pages;
use super::{ClientError, Connection, RemoveArgs};

pub(super) async fn run(args: &RemoveArgs) -> Result<(), ClientError> {
    let connection = Connection::new(&args.connection)?;
    if !args.recursive {
        let (bucket, key) = args.location.object()?;
        // S3 answers 204 for a key that is not there; a person who mistyped wants to know.
        connection.head(bucket, key).await?;
        connection.delete(bucket, key).await?;
        println!("removed {}", args.location);
        return Ok(());
    }
    let folder = args.location.folder();
    let bucket = &folder.bucket;
    let mut removed = 0;
    let mut pages = Pages::new(bucket, &folder.key);
    while let Some(keys) = pages.next(&connection).await? {
        if keys.is_empty() {
            continue;
        }
        let refused = connection.delete_many(bucket, &keys).await?;
        removed += keys.len() - refused.len();
        if let Some(first) = refused.into_iter().next() {
            return Err(ClientError::Refused {
                what: format!("s3://{bucket}/{}", first.key),
                code: first.code,
                message: first.message,
                request_id: "in the same answer".into(),
            });
        }
    }
    println!("removed {removed} objects below {folder}");
    Ok(())
}
