//! `cp`: files and objects, either way or inside the store.

use std::path::{Component, Path, PathBuf};

use super::{ClientError, Connection, CopyArgs, Location, transfer};

pub(super) async fn run(args: &CopyArgs) -> Result<(), ClientError> {
    let connection = Connection::new(&args.connection)?;
    let place = |text: &str| text.parse::<Location>().map_err(ClientError::Usage);
    match (Location::is_remote(&args.from), Location::is_remote(&args.to)) {
        (false, true) => up(&connection, args, &place(&args.to)?).await,
        (true, false) => down(&connection, args, &place(&args.from)?).await,
        (true, true) => across(&connection, args, &place(&args.from)?, &place(&args.to)?).await,
        (false, false) => Err(ClientError::Usage("neither side is s3://bucket/key; use cp for files".into())),
    }
}

async fn up(connection: &Connection, args: &CopyArgs, to: &Location) -> Result<(), ClientError> {
    let content_type = |path: &Path| args.content_type.clone().unwrap_or_else(|| guess(path).to_owned());
    if args.from == "-" {
        let (bucket, key) = to.object()?;
        return transfer::upload_stdin(connection, bucket, key, &content_type(Path::new(""))).await;
    }
    let from = Path::new(&args.from);
    if from.is_dir() {
        if !args.recursive {
            return Err(ClientError::Usage(format!(
                "{} is a directory; -r copies what is below it",
                from.display()
            )));
        }
        for path in files_below(from)? {
            let relative = path.strip_prefix(from).unwrap_or(&path).to_string_lossy().into_owned();
            let key = joined(&to.key, &relative);
            transfer::upload(connection, &path, &to.bucket, &key, &content_type(&path)).await?;
            println!("{} -> s3://{}/{key}", path.display(), to.bucket);
        }
        return Ok(());
    }
    let name = from.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let key =
        if to.key.is_empty() || to.key.ends_with('/') { format!("{}{name}", to.key) } else { to.key.clone() };
    transfer::upload(connection, from, &to.bucket, &key, &content_type(from)).await?;
    println!("{} -> s3://{}/{key}", from.display(), to.bucket);
    Ok(())
}

async fn down(connection: &Connection, args: &CopyArgs, from: &Location) -> Result<(), ClientError> {
    if args.to == "-" {
        let (bucket, key) = from.object()?;
        return transfer::to_stdout(connection, bucket, key).await;
    }
    let to = Path::new(&args.to);
    if !args.recursive {
        let (bucket, key) = from.object()?;
        let path = if to.is_dir() || args.to.ends_with('/') {
            to.join(key.rsplit('/').next().unwrap_or(key))
        } else {
            to.to_owned()
        };
        transfer::download(connection, bucket, key, &path).await?;
        println!("{from} -> {}", path.display());
        return Ok(());
    }
    let mut pages = Pages::new(&from.bucket, &from.key);
    while let Some(keys) = pages.next(connection).await? {
        for key in keys.iter().filter(|key| !key.ends_with('/')) {
            let path = to.join(safe_relative(below(&from.key, key))?);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)
                    .map_err(|source| ClientError::File { path: parent.display().to_string(), source })?;
            }
            transfer::download(connection, &from.bucket, key, &path).await?;
            println!("s3://{}/{key} -> {}", from.bucket, path.display());
        }
    }
    Ok(())
}

async fn across(
    connection: &Connection,
    args: &CopyArgs,
    from: &Location,
    to: &Location,
) -> Result<(), ClientError> {
    if !args.recursive {
        let (bucket, key) = from.object()?;
        let name = key.rsplit('/').next().unwrap_or(key);
        let target = if to.key.is_empty() || to.key.ends_with('/') {
            format!("{}{name}", to.key)
        } else {
            to.key.clone()
        };
        connection.copy((bucket, key), (&to.bucket, &target)).await?;
        println!("{from} -> s3://{}/{target}", to.bucket);
        return Ok(());
    }
    let mut pages = Pages::new(&from.bucket, &from.key);
    while let Some(keys) = pages.next(connection).await? {
        for key in &keys {
            let target = joined(&to.key, below(&from.key, key));
            connection.copy((&from.bucket, key), (&to.bucket, &target)).await?;
            println!("s3://{}/{key} -> s3://{}/{target}", from.bucket, to.bucket);
        }
    }
    Ok(())
}

/// The keys below a prefix, a page at a time, so that memory does not grow with the bucket.
pub(super) struct Pages<'a> {
    bucket: &'a str,
    prefix: &'a str,
    token: Option<String>,
    ended: bool,
}

impl<'a> Pages<'a> {
    pub(super) fn new(bucket: &'a str, prefix: &'a str) -> Self {
        Self { bucket, prefix, token: None, ended: false }
    }

    pub(super) async fn next(&mut self, connection: &Connection) -> Result<Option<Vec<String>>, ClientError> {
        if self.ended {
            return Ok(None);
        }
        let page = connection.list(self.bucket, self.prefix, true, self.token.as_deref()).await?;
        self.ended = page.next_continuation_token.is_none();
        self.token = page.next_continuation_token;
        Ok(Some(page.contents.into_iter().map(|object| object.key).collect()))
    }
}

fn files_below(directory: &Path) -> Result<Vec<PathBuf>, ClientError> {
    let error = |path: &Path, source| ClientError::File { path: path.display().to_string(), source };
    let (mut files, mut directories) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(next) = directories.pop() {
        for entry in std::fs::read_dir(&next).map_err(|source| error(&next, source))? {
            let entry = entry.map_err(|source| error(&next, source))?;
            let kind = entry.file_type().map_err(|source| error(&entry.path(), source))?;
            if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

fn joined(prefix: &str, relative: &str) -> String {
    if prefix.is_empty() || prefix.ends_with('/') {
        format!("{prefix}{relative}")
    } else {
        format!("{prefix}/{relative}")
    }
}

/// What is left of `key` below `prefix`; a prefix in the middle of a name keeps the whole name.
fn below<'a>(prefix: &str, key: &'a str) -> &'a str {
    let directory = prefix.rfind('/').map_or(0, |at| at + 1);
    if prefix.is_empty() || prefix.ends_with('/') || !key[prefix.len()..].starts_with('/') {
        &key[directory..]
    } else {
        &key[prefix.len() + 1..]
    }
}

/// Keys come from the store; none may lead out of the directory that was asked for.
fn safe_relative(key: &str) -> Result<&Path, ClientError> {
    let path = Path::new(key);
    if path.components().all(|part| matches!(part, Component::Normal(_))) && !key.is_empty() {
        Ok(path)
    } else {
        Err(ClientError::Usage(format!(
            "the key `{key}` would lead out of the directory; copy it alone, to a name of your own"
        )))
    }
}

fn guess(path: &Path) -> &'static str {
    match path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default()
        .to_ascii_lowercase()
        .as_str()
    {
        "txt" | "log" | "md" => "text/plain",
        "html" | "htm" => "text/html",
        "css" => "text/css",
        "csv" => "text/csv",
        "js" => "text/javascript",
        "json" => "application/json",
        "xml" => "application/xml",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "webp" => "image/webp",
        "mp4" => "video/mp4",
        "mp3" => "audio/mpeg",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_leads_out_of_the_target_directory() {
        for key in ["../a", "a/../../b", "/etc/passwd", "a/./../..", ""] {
            assert!(safe_relative(key).is_err(), "{key}");
        }
        assert!(safe_relative("a/b.txt").is_ok());
    }

    #[test]
    fn what_is_below_a_prefix_keeps_names_whole() {
        assert_eq!(below("", "a/b"), "a/b");
        assert_eq!(below("a/", "a/b"), "b");
        assert_eq!(below("a", "a/b"), "b");
        assert_eq!(below("x/ph", "x/photo.jpg"), "photo.jpg");
    }
}
