//! What a sealed thing is and where it belongs.

use crate::Label;

/// One field of a [`Context`].
#[derive(Debug, Clone, Copy)]
pub enum Field<'a> {
    /// A number: group id, part number, page number.
    Number(u64),
    /// Bytes: a bucket id, a version id, an object key.
    Bytes(&'a [u8]),
}

impl From<u64> for Field<'_> {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Field<'_> {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl<'a> From<&'a [u8]> for Field<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Field<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a str> for Field<'a> {
    fn from(text: &'a str) -> Self {
        Self::Bytes(text.as_bytes())
    }
}

/// The associated data of everything that is sealed: a label and at least one field, encoded so that two
/// different contexts never have the same bytes (`docs/spec/sealed-record.md` §2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    label: Label,
    bytes: Vec<u8>,
}

impl Context {
    /// A context is never empty: it has a label and a first field.
    pub fn new<'a>(label: Label, first: impl Into<Field<'a>>) -> Self {
        let mut bytes = Vec::with_capacity(64);
        bytes.push(1); // encoding version
        bytes.extend_from_slice(&label.number().to_le_bytes());
        Self { label, bytes }.and(first)
    }

    /// The context with one more field.
    #[must_use]
    pub fn and<'a>(mut self, field: impl Into<Field<'a>>) -> Self {
        match field.into() {
            Field::Number(number) => {
                self.bytes.push(1);
                self.bytes.extend_from_slice(&number.to_le_bytes());
            }
            Field::Bytes(bytes) => {
                let length = u32::try_from(bytes.len()).expect("a context field is shorter than 4 GiB");
                self.bytes.push(2);
                self.bytes.extend_from_slice(&length.to_le_bytes());
                self.bytes.extend_from_slice(bytes);
            }
        }
        self
    }

    /// What the context is of.
    pub fn label(&self) -> Label {
        self.label
    }

    /// The encoded form that is authenticated.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}
