//! `[[webhooks]]`: who is told of events (`docs/spec/events.md` §6).

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use strongroom_objects::events::is_target_id;
use zeroize::Zeroizing;

use super::Mistake;

/// Long enough for a receiver that writes what it gets to a disk; short enough that one that hangs is noticed.
const TIMEOUT_SECONDS: u64 = 10;
/// A receiver that was down for a night gets everything.
const RETRY_MAX_AGE_HOURS: u64 = 24;
/// Secrets that are shorter can be guessed from a signature.
const SECRET_LEN_MIN: usize = 16;
const SECRET_LEN_MAX: usize = 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookEntry {
    id: String,
    url: String,
    auth_token_file: Option<PathBuf>,
    signature_secret_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    timeout_seconds: Option<u64>,
    retry_max_age_hours: Option<u64>,
    #[serde(default)]
    events: Vec<String>,
}

/// A webhook that can be used.
#[derive(Debug)]
pub(crate) struct Webhook {
    pub(crate) id: String,
    pub(crate) url: reqwest::Url,
    pub(crate) token: Option<FileSecret>,
    pub(crate) signature_secret: Option<FileSecret>,
    pub(crate) authorities: Vec<reqwest::Certificate>,
    pub(crate) timeout: Duration,
    pub(crate) retry_max_age: Duration,
    pub(crate) streams: Streams,
}

impl Webhook {
    /// Whether its token goes over plain HTTP to another machine, where whoever reads along has it.
    pub(crate) fn shows_its_token(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        self.token.is_some() && self.url.scheme() == "http" && !here
    }
}

/// Which administration a webhook is told of, beside what rules of buckets send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Streams {
    pub(crate) iam: bool,
    pub(crate) buckets: bool,
    pub(crate) keys: bool,
}

/// What a file holds, without its line end. Wiped when it goes, and never shown.
pub(crate) struct FileSecret(Zeroizing<String>);

impl FileSecret {
    /// For the one place that sends or uses it.
    pub(crate) fn dangerous_expose(&self) -> &str {
        &self.0
    }

    fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path);
        let text = Zeroizing::new(text.map_err(|error| format!("cannot read {}: {error}", path.display()))?);
        // A copy of what is used, so that what is cut is wiped with the first one.
        Ok(Self(Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned())))
    }
}

impl fmt::Debug for FileSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileSecret(..)")
    }
}

/// Checks all entries. Mistakes are named by the entry's id where it has one.
pub(super) fn resolve(entries: Vec<WebhookEntry>, mistakes: &mut Vec<Mistake>) -> Vec<Webhook> {
    let mut webhooks = Vec::<Webhook>::new();
    for (at, entry) in entries.into_iter().enumerate() {
        let label = if is_target_id(&entry.id) { entry.id.clone() } else { (at + 1).to_string() };
        let mut wrong = |field: &str, problem: String| {
            mistakes.push(Mistake { key: format!("webhooks.{label}.{field}"), problem });
        };
        if !is_target_id(&entry.id) {
            wrong("id", format!("`{}` is not 1 to 64 letters, digits, `-` or `_`", entry.id));
        } else if webhooks.iter().any(|other| other.id == entry.id) {
            wrong("id", "another webhook has this id".into());
        }
        if let Some(webhook) = one(entry, &mut wrong) {
            webhooks.push(webhook);
        }
    }
    webhooks
}

fn one(entry: WebhookEntry, wrong: &mut impl FnMut(&str, String)) -> Option<Webhook> {
    let WebhookEntry {
        id,
        url,
        auth_token_file,
        signature_secret_file,
        ca_file,
        timeout_seconds,
        retry_max_age_hours,
        events,
    } = entry;
    let url = address(&url).map_err(|problem| wrong("url", problem)).ok();
    let mut secret = |field: &str, path: Option<PathBuf>, fits: fn(&str) -> Result<(), String>| {
        let read = FileSecret::read(path.as_deref()?).and_then(|secret| fits(&secret.0).map(|()| secret));
        read.map_err(|problem| wrong(field, problem)).ok()
    };
    let token = secret("auth_token_file", auth_token_file, token_fits);
    let signature_secret = secret("signature_secret_file", signature_secret_file, secret_fits);
    let authorities = match ca_file.as_deref().map(certificates) {
        None => Vec::new(),
        Some(Ok(certificates)) => certificates,
        Some(Err(problem)) => {
            wrong("ca_file", problem);
            Vec::new()
        }
    };
    let timeout_seconds = timeout_seconds.unwrap_or(TIMEOUT_SECONDS);
    if !(1..=300).contains(&timeout_seconds) {
        wrong("timeout_seconds", "must be between 1 and 300".into());
    }
    let hours = retry_max_age_hours.unwrap_or(RETRY_MAX_AGE_HOURS);
    if !(1..=24 * 30).contains(&hours) {
        wrong("retry_max_age_hours", "must be between 1 and 720".into());
    }
    let mut streams = Streams::default();
    for event in events {
        match event.as_str() {
            "iam" => streams.iam = true,
            "buckets" => streams.buckets = true,
            "keys" => streams.keys = true,
            other => wrong(
                "events",
                format!(
                    "`{other}` is none of iam, buckets, keys; objects' events come by the buckets' own rules"
                ),
            ),
        }
    }
    Some(Webhook {
        id,
        url: url?,
        token,
        signature_secret,
        authorities,
        timeout: Duration::from_secs(timeout_seconds),
        retry_max_age: Duration::from_secs(hours.saturating_mul(3600)),
        streams,
    })
}

fn address(text: &str) -> Result<reqwest::Url, String> {
    // Addresses can hold passwords and tokens, so none is repeated.
    let url: reqwest::Url = text.parse().map_err(|error| format!("not an address: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("not an http:// or https:// address".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a password in an address is shown in many places; use auth_token_file".into());
    }
    if url.fragment().is_some() {
        return Err("what follows `#` is never sent; leave it out".into());
    }
    Ok(url)
}

fn token_fits(token: &str) -> Result<(), String> {
    if token.is_empty() || token.len() > SECRET_LEN_MAX || !token.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(format!("the file must hold a token of 1 to {SECRET_LEN_MAX} printable characters"));
    }
    Ok(())
}

fn secret_fits(secret: &str) -> Result<(), String> {
    if !(SECRET_LEN_MIN..=SECRET_LEN_MAX).contains(&secret.len()) {
        return Err(format!("the file must hold {SECRET_LEN_MIN} to {SECRET_LEN_MAX} bytes"));
    }
    Ok(())
}

fn certificates(path: &Path) -> Result<Vec<reqwest::Certificate>, String> {
    let pem = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let found = reqwest::Certificate::from_pem_bundle(&pem);
    let found = found.map_err(|error| format!("{}: {error}", path.display()))?;
    if found.is_empty() { Err(format!("{} has no certificate", path.display())) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(toml: &str) -> (Vec<Webhook>, Vec<String>) {
        #[derive(Deserialize)]
        struct File {
            webhooks: Vec<WebhookEntry>,
        }
        let file: File = toml::from_str(toml).unwrap();
        let mut mistakes = Vec::new();
        let webhooks = resolve(file.webhooks, &mut mistakes);
        (webhooks, mistakes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_entry_with_nothing_but_an_address_is_enough() {
        let (webhooks, mistakes) = resolved("[[webhooks]]\nid = \"orders\"\nurl = \"http://127.0.0.1:1/x\"");
        assert_eq!(mistakes, Vec::<String>::new());
        assert_eq!(webhooks[0].id, "orders");
        assert_eq!(webhooks[0].streams, Streams::default());
        assert_eq!(webhooks[0].retry_max_age.as_secs(), 86_400);
    }

    #[test]
    fn token_that_goes_over_plain_http_to_another_machine_is_known() {
        let token = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(token.path(), "0123456789abcdef").unwrap();
        let shows = |url: &str| {
            let file = token.path().display();
            let toml = format!("[[webhooks]]\nid = \"a\"\nurl = \"{url}\"\nauth_token_file = \"{file}\"");
            resolved(&toml).0[0].shows_its_token()
        };
        for url in ["http://hooks.example.com/a", "http://192.0.2.1:8080/"] {
            assert!(shows(url), "{url}");
        }
        for url in
            ["https://hooks.example.com/a", "http://127.0.0.1:1/", "http://[::1]/", "http://localhost/"]
        {
            assert!(!shows(url), "{url}");
        }
    }

    #[test]
    fn every_mistake_is_named_with_the_webhook_and_the_field() {
        let short = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(short.path(), "short\n").unwrap();
        let toml = format!(
            "[[webhooks]]\nid = \"a\"\nurl = \"ftp://x/\"\nauth_token_file = \"/nowhere/token\"\n\
             signature_secret_file = \"{0}\"\nca_file = \"{0}\"\ntimeout_seconds = 0\n\
             retry_max_age_hours = 1000\nevents = [\"objects\"]\n\
             [[webhooks]]\nid = \"b\"\nurl = \"http://me:pass@x/\"\n\
             [[webhooks]]\nid = \"c/d\"\nurl = \"http://x/\"\n\
             [[webhooks]]\nid = \"e\"\nurl = \"http://x/\"\n[[webhooks]]\nid = \"e\"\nurl = \"http://x/\"",
            short.path().display()
        );
        let (_, mistakes) = resolved(&toml);
        for key in [
            "a.url",
            "a.auth_token_file",
            "a.signature_secret_file",
            "a.ca_file",
            "a.timeout_seconds",
            "a.retry_max_age_hours",
            "a.events",
            "b.url",
            "3.id",
            "e.id",
        ] {
            assert!(
                mistakes.iter().any(|text| text.starts_with(&format!("webhooks.{key}:"))),
                "{key}: {mistakes:?}"
            );
        }
        assert!(!mistakes.iter().any(|text| text.contains("pass@")), "no secret is shown");
    }

    #[test]
    fn a_secret_is_its_file_without_the_line_end_and_is_not_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123456789abcdef\r\n").unwrap();
        let secret = FileSecret::read(file.path()).unwrap();
        assert_eq!(secret.dangerous_expose(), "0123456789abcdef");
        assert_eq!(format!("{secret:?}"), "FileSecret(..)");
    }
}
