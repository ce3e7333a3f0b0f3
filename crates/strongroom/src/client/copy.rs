//! `cp`: files and objects, either way or inside the store.

use std::path::{Component, Path, PathBuf};

use super::transfer::{self, Target};
use super::{ClientError, Connection, CopyArgs, Location};
use crate::terminal::harmless;

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
    let send = async |path: &Path, key: &str| {
        let content_type = args.content_type.as_deref().unwrap_or_else(|| guess(path));
        let target = Target { bucket: &to.bucket, key, content_type, part_mib: args.part_size };
        transfer::upload(connection, path, target).await?;
        println!("{} -> s3://{}/{key}", path.display(), to.bucket);
        Ok::<_, ClientError>(())
    };
    if args.from == "-" {
        let (bucket, key) = to.object()?;
        let content_type = args.content_type.as_deref().unwrap_or_else(|| guess(Path::new(key)));
        let target = Target { bucket, key, content_type, part_mib: args.part_size };
        return transfer::upload_stdin(connection, target).await;
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
            let relative = path.strip_prefix(from).unwrap_or(&path);
            // A name in other letters would be another name, or that of a second file.
            let relative = relative.to_str().ok_or_else(|| {
                ClientError::Usage(format!("the name of {} is not UTF-8, as keys are", path.display()))
            })?;
            send(&path, &joined(&to.key, relative)).await?;
        }
        return Ok(());
    }
    let name = from.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let key =
        if to.key.is_empty() || to.key.ends_with('/') { format!("{}{name}", to.key) } else { to.key.clone() };
    send(from, &key).await
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
    let (folder, mut count) = (from.folder(), 0_u64);
    let mut pages = Pages::new(&folder.bucket, &folder.key);
    while let Some(keys) = pages.next(connection).await? {
        for key in keys.iter().filter(|key| !key.ends_with('/')) {
            let path = to.join(safe_relative(below(&folder, key)?)?);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)
                    .map_err(|source| ClientError::File { path: parent.display().to_string(), source })?;
            }
            transfer::download(connection, &folder.bucket, key, &path).await?;
            println!("s3://{}/{} -> {}", folder.bucket, harmless(key), harmless(&path.to_string_lossy()));
            count += 1;
        }
    }
    say_if_nothing(count, &folder);
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
    let (folder, mut count) = (from.folder(), 0_u64);
    let mut pages = Pages::new(&folder.bucket, &folder.key);
    while let Some(keys) = pages.next(connection).await? {
        for key in &keys {
            let target = joined(&to.key, below(&folder, key)?);
            connection.copy((&folder.bucket, key), (&to.bucket, &target)).await?;
            println!("s3://{}/{} -> s3://{}/{}", folder.bucket, harmless(key), to.bucket, harmless(&target));
            count += 1;
        }
    }
    say_if_nothing(count, &folder);
    Ok(())
}

/// A folder that is not there and one that is empty look alike, and the first is a mistyped one.
fn say_if_nothing(count: u64, folder: &Location) {
    if count == 0 {
        eprintln!("strongroom: nothing is below {folder}");
    }
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
            } else {
                // What a link leads to may be above, or missing; whoever wants it copies it by name.
                eprintln!("strongroom: {} is neither file nor directory; not copied", entry.path().display());
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

/// What is left of `key` below a folder. Both come from the store.
fn below<'a>(folder: &Location, key: &'a str) -> Result<&'a str, ClientError> {
    key.strip_prefix(folder.key.as_str()).ok_or_else(|| ClientError::Answer {
        what: format!("listing {folder}"),
        why: format!("it names `{key}`, which is not below"),
    })
}

/// Keys come from the store; none may lead out of the directory that was asked for, and no two to one file.
fn safe_relative(key: &str) -> Result<&Path, ClientError> {
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    if key.split('/').all(plain)
        && Path::new(key).components().all(|part| matches!(part, Component::Normal(_)))
    {
        Ok(Path::new(key))
    } else {
        Err(ClientError::Usage(format!(
            "the key `{key}` is no path below the directory; copy it alone, to a name of your own"
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
        for key in ["../a", "a/../../b", "/etc/passwd", "a/./../..", "", ".", "a//b", "a/./b"] {
            assert!(safe_relative(key).is_err(), "{key}");
        }
        assert!(safe_relative("a/b.txt").is_ok());
    }

    #[test]
    fn an_answer_that_names_other_keys_is_no_list_of_what_is_below() {
        let folder = |text: &str| text.parse::<Location>().unwrap().folder();
        assert_eq!(below(&folder("s3://b"), "a/b").unwrap(), "a/b");
        assert_eq!(below(&folder("s3://b/a"), "a/b").unwrap(), "b");
        for key in ["b", "ab/c", "ä", ""] {
            below(&folder("s3://b/a"), key).unwrap_err();
        }
    }
}
