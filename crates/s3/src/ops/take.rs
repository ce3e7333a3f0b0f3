//! What several operations take from their requests. The library gives each operation its own type with fields of the same
//! names, so these are macros.

/// The headers of a customer's key.
macro_rules! customer_headers {
    ($input:ident) => {
        $crate::sse::CustomerHeaders::new(
            $input.sse_customer_algorithm,
            $input.sse_customer_key,
            $input.sse_customer_key_md5,
        )
    };
}

/// Whether checksums are wanted in the answer, the range as it was sent, and the [`super::common::Read`] itself.
macro_rules! read_headers {
    ($input:ident) => {{
        let with_checksums = $input
            .checksum_mode
            .as_ref()
            .is_some_and(|mode| mode.as_str() == s3s::dto::ChecksumMode::ENABLED);
        let range = $input.range.as_ref().map(|range| range.to_header_string());
        let overrides = $input.response_cache_control.is_some()
            || $input.response_content_disposition.is_some()
            || $input.response_content_encoding.is_some()
            || $input.response_content_language.is_some()
            || $input.response_content_type.is_some()
            || $input.response_expires.is_some();
        let read = $crate::ops::common::Read {
            bucket: $input.bucket,
            key: $input.key,
            version: $input.version_id,
            part: $input.part_number,
            overrides,
            range: $input.range,
            if_match: $input.if_match,
            if_none_match: $input.if_none_match,
            if_modified_since: $input.if_modified_since,
            if_unmodified_since: $input.if_unmodified_since,
            customer: $crate::ops::take::customer_headers!($input),
        };
        (with_checksums, range, read)
    }};
}

/// How the object that is written is to be encrypted.
macro_rules! write_headers {
    ($input:ident) => {
        $crate::sse::WriteHeaders {
            method: $input.server_side_encryption,
            kms_key_id: $input.ssekms_key_id,
            kms_context: $input.ssekms_encryption_context,
            bucket_key: $input.bucket_key_enabled,
            customer: $crate::ops::take::customer_headers!($input),
        }
    };
}

/// What is stored of an object beside its content.
macro_rules! meta_headers {
    ($input:ident) => {
        $crate::convert::MetaHeaders {
            content_type: $input.content_type,
            content_encoding: $input.content_encoding,
            content_language: $input.content_language,
            content_disposition: $input.content_disposition,
            cache_control: $input.cache_control,
            website_redirect: $input.website_redirect_location,
            storage_class: $crate::ops::common::storage_class($input.storage_class)?,
            user: $input.metadata,
            tagging: $input.tagging,
        }
    };
}

/// Where a copy comes from.
macro_rules! copy_source {
    ($input:ident) => {
        $crate::ops::common::Source {
            source: $input.copy_source,
            if_match: $input.copy_source_if_match,
            if_none_match: $input.copy_source_if_none_match,
            if_modified_since: $input.copy_source_if_modified_since,
            if_unmodified_since: $input.copy_source_if_unmodified_since,
            customer: $crate::sse::CustomerHeaders::new(
                $input.copy_source_sse_customer_algorithm,
                $input.copy_source_sse_customer_key,
                $input.copy_source_sse_customer_key_md5,
            ),
        }
    };
}

pub(super) use {copy_source, customer_headers, meta_headers, read_headers, write_headers};
