//! The fields of a form, and the stream of its file.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream;
use http::StatusCode;
use multer::{Constraints, Field, Multipart, SizeLimit};
use s3s::Body;

use super::malformed;
use crate::error::ApiError;
use crate::wire::body::BodyFault;

/// Bytes of all fields before the file (AWS).
const FIELDS_BYTES_MAX: usize = 20 << 10;
/// Number of fields before the file: more than AWS knows, with 2 KiB of metadata beside them.
const FIELDS_MAX: usize = 200;

/// A form up to its file.
pub(crate) struct Form {
    /// By name in lower case.
    fields: BTreeMap<String, String>,
    file_name: String,
    file: FormFile,
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Fields may hold customers' keys.
        f.debug_struct("Form").field("fields", &self.fields.len()).finish_non_exhaustive()
    }
}

impl Form {
    /// Reads the fields. What comes after the file is ignored, as AWS does.
    pub(crate) async fn read(content_type: &str, body: Body) -> Result<Self, ApiError> {
        let boundary = multer::parse_boundary(content_type).map_err(|_| {
            malformed("The body of your POST request is not well-formed multipart/form-data.")
        })?;
        let limits = SizeLimit::new().per_field(u64::MAX);
        let mut parts = Multipart::with_constraints(body, boundary, Constraints::new().size_limit(limits));
        let mut fields = BTreeMap::new();
        let mut bytes = 0;
        while let Some(mut part) = parts.next_field().await.map_err(|error| unreadable(&error))? {
            let Some(name) = part.name().map(str::to_ascii_lowercase) else {
                return Err(malformed(
                    "The body of your POST request is not well-formed multipart/form-data.",
                ));
            };
            if name == "file" {
                let file_name = part.file_name().map(last_component).unwrap_or_default().to_owned();
                let mut form = Self { fields, file_name, file: FormFile { part } };
                form.expand();
                return Ok(form);
            }
            let mut value = Vec::new();
            bytes += name.len();
            while let Some(piece) = part.chunk().await.map_err(|error| unreadable(&error))? {
                bytes += piece.len();
                if bytes > FIELDS_BYTES_MAX {
                    return Err(too_large());
                }
                value.extend_from_slice(&piece);
            }
            if bytes > FIELDS_BYTES_MAX || fields.len() == FIELDS_MAX {
                return Err(too_large());
            }
            let value = String::from_utf8(value)
                .map_err(|_| malformed("A field of your POST request is not valid UTF-8."))?;
            if fields.contains_key(&name) {
                // Which of the two was signed could not be told.
                return Err(ApiError::invalid_argument(
                    "form",
                    &name,
                    "POST requires exactly one value of each form field.",
                ));
            }
            fields.insert(name, value);
        }
        Err(ApiError::invalid_argument("file", "0", "POST requires exactly one file upload per request."))
    }

    /// A field by its name in lower case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// All fields, sorted by name.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// What is left: the file.
    pub(crate) fn into_file(self) -> FormFile {
        self.file
    }

    /// Puts the file's name where a field asks for it. The policy is checked against what comes out.
    fn expand(&mut self) {
        const VARIABLE: &str = "${filename}";
        for (name, value) in &mut self.fields {
            if name != "policy" && value.contains(VARIABLE) {
                *value = value.replace(VARIABLE, &self.file_name);
            }
        }
    }
}

/// A browser may send the whole path of a file; only its last part counts.
fn last_component(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

fn too_large() -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "MaxPostPreDataLengthExceeded",
        "Your POST request fields preceding the upload file were too large.",
    )
    .field("MaxPostPreDataLengthBytes", FIELDS_BYTES_MAX)
}

fn unreadable(error: &multer::Error) -> ApiError {
    match fault(error) {
        BodyFault::Stalled => ApiError::request_timeout(),
        BodyFault::Disconnected => ApiError::incomplete_body(),
        _ => malformed("The body of your POST request is not well-formed multipart/form-data."),
    }
}

/// Our own fault under the library's, or that the form has no end.
fn fault(error: &multer::Error) -> BodyFault {
    let mut at: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = at {
        if let Some(fault) = error.downcast_ref::<BodyFault>() {
            return *fault;
        }
        at = error.source();
    }
    BodyFault::Form
}

/// How long the file may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileSize {
    /// Bytes at least.
    pub(crate) least: u64,
    /// Bytes at most.
    pub(crate) most: u64,
}

impl Default for FileSize {
    fn default() -> Self {
        Self { least: 0, most: u64::MAX }
    }
}

/// The bytes of the file.
pub(crate) struct FormFile {
    part: Field<'static>,
}

impl FormFile {
    /// The bytes, with an error at the end or as soon as there are too many.
    pub(crate) fn limited(self, size: FileSize) -> Limited {
        Limited { part: self.part, size, seen: 0, ended: false }
    }
}

/// See [`FormFile::limited`].
pub(crate) struct Limited {
    part: Field<'static>,
    size: FileSize,
    seen: u64,
    ended: bool,
}

impl Stream for Limited {
    type Item = Result<Bytes, BodyFault>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let (piece, ended) = match ready!(Pin::new(&mut this.part).poll_next(cx)) {
            Some(Ok(bytes)) => {
                this.seen = this.seen.saturating_add(bytes.len() as u64);
                match this.seen > this.size.most {
                    true => (Some(Err(BodyFault::FormFileTooLarge { most: this.size.most })), true),
                    false => (Some(Ok(bytes)), false),
                }
            }
            Some(Err(error)) => (Some(Err(fault(&error))), true),
            None if this.seen < this.size.least => {
                let fault = BodyFault::FormFileTooSmall { size: this.seen, least: this.size.least };
                (Some(Err(fault)), true)
            }
            None => (None, true),
        };
        this.ended = ended;
        Poll::Ready(piece)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use futures::StreamExt;

    use super::*;

    pub(in crate::form) const KIND: &str = "multipart/form-data; boundary=xyz";

    /// The body of a form with these fields and a file called `name`.
    pub(in crate::form) fn body(fields: &[(&str, &str)], name: &str, file: &str) -> String {
        let mut out = String::new();
        for (name, value) in fields {
            out += &format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        }
        out += &format!(
            "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: text/plain\r\n\r\n{file}\r\n--xyz--\r\n"
        );
        out
    }

    pub(in crate::form) async fn form(fields: &[(&str, &str)]) -> Form {
        Form::read(KIND, Body::from(body(fields, "dir\\cat.gif", "content"))).await.unwrap()
    }

    async fn file(text: &str, size: FileSize) -> Result<Vec<u8>, BodyFault> {
        let form = Form::read(KIND, Body::from(body(&[], "f", text))).await.unwrap();
        let mut out = Vec::new();
        let mut pieces = form.into_file().limited(size);
        while let Some(piece) = pieces.next().await {
            out.extend_from_slice(&piece?);
        }
        Ok(out)
    }

    #[tokio::test]
    async fn fields_are_read_and_the_name_of_the_file_is_put_in() {
        let form = form(&[("Key", "user/${filename}"), ("policy", "${filename}")]).await;
        assert_eq!(form.field("key"), Some("user/cat.gif"));
        assert_eq!(form.field("policy"), Some("${filename}"));
    }

    #[tokio::test]
    async fn file_keeps_to_its_size() {
        assert_eq!(file("12345", FileSize { least: 5, most: 5 }).await.unwrap(), b"12345");
        let error = file("12345", FileSize { least: 6, most: 9 }).await.unwrap_err();
        assert_eq!(error, BodyFault::FormFileTooSmall { size: 5, least: 6 });
        let error = file("12345", FileSize { least: 0, most: 4 }).await.unwrap_err();
        assert_eq!(error, BodyFault::FormFileTooLarge { most: 4 });
        assert_eq!(file("", FileSize::default()).await.unwrap(), b"");
    }

    #[tokio::test]
    async fn form_without_its_end_is_not_an_object() {
        let cut = body(&[], "f", "content").replace("\r\n--xyz--\r\n", "");
        let form = Form::read(KIND, Body::from(cut)).await.unwrap();
        let pieces: Vec<_> = form.into_file().limited(FileSize::default()).collect().await;
        assert_eq!(pieces.last().unwrap().as_ref().unwrap_err(), &BodyFault::Form);
    }

    #[tokio::test]
    async fn forms_that_mean_two_things_or_nothing_are_refused() {
        let read = |text: String| async move { Form::read(KIND, Body::from(text)).await.unwrap_err().code };
        assert_eq!(read(body(&[("key", "a"), ("KEY", "b")], "f", "")).await, "InvalidArgument");
        assert_eq!(
            read("--xyz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--xyz--\r\n".into()).await,
            "InvalidArgument"
        );
        let long = "x".repeat(FIELDS_BYTES_MAX);
        assert_eq!(read(body(&[("a", &long)], "f", "")).await, "MaxPostPreDataLengthExceeded");
        assert_eq!(read("nothing of the kind".into()).await, "MalformedPOSTRequest");
    }
}
