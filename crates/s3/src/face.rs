//! The library's trait of all operations, each handed to its own file.

use std::sync::Arc;

use bytes::Bytes;
use http::header::EXPIRES;
use http::{HeaderMap, HeaderValue, StatusCode};
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::dto::*;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, TrailingHeaders};
use strongroom_iam::{Iam, Identity};
use strongroom_objects::request::{CopySource, ToCopy};
use strongroom_objects::{
    BucketName, KmsUse, ObjectName, Objects, SseApplied, SseRequest, Tags, UploadId, VersionId, events,
};
use tracing::instrument::WithSubscriber;

use crate::access::{Asker, Authority, Gate, KeyUse, Resource, Secrets, names_tag};
use crate::checksum;
use crate::checksum_document::NamedPart;
use crate::convert;
use crate::elements;
use crate::error::ApiError;
use crate::host::Hosts;
use crate::lenient::{Again, Verified};
use crate::ops;
use crate::ops::create_bucket::NewTags;
use crate::options::S3Options;
use crate::request::RequestState;
use crate::routes::Routes;
use crate::server::ServeError;
use crate::sse::{Channel, Setting};
use crate::undone;

/// The protocol library, set up to call our operations.
pub(crate) fn library(options: S3Options, objects: Objects, iam: Iam) -> Result<S3Service, ServeError> {
    let mut config = S3Config::default();
    config.xml_max_body_size = options.limits.xml_bytes_max;
    config.presigned_url_max_skew_time_secs =
        u32::try_from(options.limits.skew_max.as_secs()).unwrap_or(u32::MAX);
    let authority = Authority::new(iam.clone(), objects.clone());
    let shared = Arc::new(Shared { objects, options, authority: authority.clone() });
    let config = Arc::new(StaticConfigProvider::new(Arc::new(config)));
    let builder = || -> Result<S3ServiceBuilder, ServeError> {
        let mut builder = S3ServiceBuilder::new(Face(shared.clone()));
        builder.set_config(config.clone());
        builder.set_auth(Secrets(iam.clone()));
        builder.set_access(Gate(authority.clone()));
        if let Some(hosts) = Hosts::new(&shared.options.domains)? {
            builder.set_host(hosts);
        }
        Ok(builder)
    };
    let mut outer = builder()?;
    let document_bytes_max = shared.options.limits.xml_bytes_max;
    let domains = shared.options.domains.clone();
    let again =
        Again { library: builder()?.build(), authority: authority.clone(), domains, document_bytes_max };
    outer.set_route(Routes { again, authority: authority.clone() });
    Ok(outer.build())
}

struct Face(Arc<Shared>);

struct Shared {
    objects: Objects,
    options: S3Options,
    authority: Authority,
}

/// A status other than the one the library gives a successful answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OtherStatus(pub(crate) StatusCode);

/// A document in place of the one that the library writes.
#[derive(Debug, Clone)]
pub(crate) struct OwnDocument(pub(crate) Bytes);

/// What an operation knows of its request beside its input.
pub(crate) struct Call {
    shared: Arc<Shared>,
    state: RequestState,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: Option<TrailingHeaders>,
    /// What the document of a bucket's encryption says of customers' keys.
    pub(crate) customer_keys_blocked: Option<bool>,
    /// `response-expires` that is no date.
    pub(crate) expires_answered: Option<HeaderValue>,
    /// The parts of a completion, if the library could not read them.
    pub(crate) named_parts: Option<Vec<NamedPart>>,
    /// Tags of a bucket that is to be made.
    pub(crate) new_tags: Tags,
}

/// Which source a copy names.
pub(crate) struct SourceName {
    bucket: BucketName,
    name: ObjectName,
    version: Option<VersionId>,
}

impl SourceName {
    pub(crate) fn of(source: &CopySource) -> Self {
        Self { bucket: source.bucket.clone(), name: source.name.clone(), version: source.version }
    }
}

/// What an operation answers.
pub(crate) type Answer<T> = Result<S3Response<T>, ApiError>;

impl Call {
    pub(crate) fn objects(&self) -> &Objects {
        &self.shared.objects
    }

    /// The region clients are told.
    pub(crate) fn region(&self) -> &str {
        &self.shared.options.region
    }

    /// Whether a customer's key may have come with this request.
    pub(crate) fn channel(&self) -> Channel {
        Channel::of(self.state.secure(), self.shared.options.sse_c)
    }

    /// What the encryption headers of a write to a bucket are read by. A bucket that is not there blocks nothing: the
    /// operation says that it is not there.
    pub(crate) fn sse_setting(&self, bucket: &str) -> Setting<'_> {
        let name = BucketName::parse(bucket).ok();
        let settings = name.and_then(|name| self.objects().bucket_settings(&name).ok());
        let customer_keys_blocked = settings.is_some_and(|settings| settings.customer_keys_blocked);
        Setting { channel: self.channel(), customer_keys_blocked, region: self.region() }
    }

    /// `uploadId`. What cannot be one belongs to no upload, but a bucket that is not there is told first, as AWS does.
    pub(crate) async fn upload_id(&self, bucket: &BucketName, text: &str) -> Result<UploadId, ApiError> {
        let upload = convert::upload_id(text);
        if upload.is_err() {
            self.objects().head_bucket(bucket).await?;
        }
        upload
    }

    /// Whether event notifications may go there.
    pub(crate) fn is_event_target(&self, id: &str) -> bool {
        self.shared.options.event_targets.iter().any(|target| target == id)
    }

    /// Refuses content of which nothing says how long it is.
    pub(crate) fn require_length(&self) -> Result<(), ApiError> {
        match self.state.is_lengthless() {
            true => Err(ApiError::no_length()),
            false => Ok(()),
        }
    }

    /// Whether the request came over TLS.
    pub(crate) fn secure(&self) -> bool {
        self.state.secure()
    }

    /// Who is asking.
    pub(crate) fn identity(&self) -> Result<&Identity, ApiError> {
        Ok(self.asker()?.identity())
    }

    fn asker(&self) -> Result<&Asker, ApiError> {
        self.state.asker().ok_or_else(|| ApiError::access_denied("Access Denied"))
    }

    /// Refuses what the one who is asking may not do beside the operation itself.
    pub(crate) fn authorise(&self, action: &'static str, resource: Resource<'_>) -> Result<(), ApiError> {
        self.shared.authority.authorise(self.asker()?, action, resource)
    }

    /// [`Self::authorise`] for an object that is there, whose tags policies may ask for.
    pub(crate) async fn authorise_existing(
        &self,
        action: &'static str,
        (bucket, key): (&str, &str),
        version: Option<&str>,
    ) -> Result<(), ApiError> {
        self.shared.authority.authorise_existing(self.asker()?, action, (bucket, key), version).await
    }

    /// Decides again by the tags of what an operation found, if those that were decided by are not its tags any more.
    pub(crate) fn authorise_found(&self, tags: &Tags) -> Result<(), ApiError> {
        match self.state.decided() {
            Some(decided) => self.shared.authority.decide_again(self.asker()?, decided, tags),
            None => Ok(()),
        }
    }

    /// Whether the one who is asking may do it, for operations that do less otherwise.
    pub(crate) fn may(&self, action: &'static str, resource: Resource<'_>) -> bool {
        self.state.asker().is_some_and(|asker| self.shared.authority.allows(asker, action, resource))
    }

    /// Whether retention in governance mode does not bind this request: it says so, and its sender may.
    pub(crate) fn bypasses_governance(&self, bucket: &str, key: &str) -> bool {
        self.asks_to_bypass() && self.may("s3:BypassGovernanceRetention", Resource::Object(bucket, key))
    }

    fn asks_to_bypass(&self) -> bool {
        let asked = self.headers.get("x-amz-bypass-governance-retention");
        asked.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
    }

    /// Refuses to delete an object of a batch for those who may not, or who may not know what its conditions tell. Answers whether
    /// retention in governance mode does not bind it.
    pub(crate) async fn authorise_one_of_batch(
        &self,
        bucket: &str,
        object: &ObjectIdentifier,
    ) -> Result<bool, ApiError> {
        let key = &object.key;
        let version = object.version_id.as_deref().filter(|version| !version.is_empty());
        let if_match = object.e_tag.as_ref().map(ETag::value);
        let asker = self.asker()?.about(version, if_match);
        let tells = if_match.is_some_and(|tag| names_tag(tag.as_bytes()))
            || object.size.is_some()
            || object.last_modified_time.is_some();
        let (authority, object) = (&self.shared.authority, Resource::Object(bucket, key));
        let action = if version.is_some() { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" };
        authority.authorise(&asker, action, object)?;
        if tells {
            authority.authorise_current(&asker, bucket, key).await?;
        }
        Ok(self.asks_to_bypass() && authority.allows(&asker, "s3:BypassGovernanceRetention", object))
    }

    /// Refuses content to those who may not use the key that it is encrypted with.
    pub(crate) fn authorise_read(
        &self,
        bucket: &BucketName,
        name: &ObjectName,
        applied: &SseApplied,
    ) -> Result<(), ApiError> {
        self.authorise_key(KeyUse::Decrypt, KmsUse::of(applied), (bucket, name))
    }

    /// Refuses a write whose key the one who is asking may not use, whether it is named or the bucket's own. What is
    /// returned asks for that key whatever becomes of the bucket's default.
    pub(crate) fn authorise_write(
        &self,
        bucket: &BucketName,
        name: &ObjectName,
        request: SseRequest,
    ) -> Result<SseRequest, ApiError> {
        if self.asker()?.is_root() {
            return Ok(request);
        }
        let settled = self.objects().settled_sse(bucket, request)?;
        let used = self.objects().kms_use_for(bucket, &settled)?;
        self.authorise_key(KeyUse::Encrypt, used, (bucket, name))?;
        Ok(settled)
    }

    /// What is asked before something is copied to `target`: whether the one who is asking may read the very source that was
    /// opened, with the tags that it has now, and use the keys that it and its copy are encrypted with.
    pub(crate) fn authorise_copy(
        &self,
        source: &SourceName,
        target: (&BucketName, &ObjectName),
        taken: ToCopy<'_>,
        tags_too: bool,
    ) -> Result<(), ApiError> {
        let asker = self.asker()?;
        if asker.is_root() {
            return Ok(());
        }
        let version = source.version.map(|version| version.to_string());
        let of_source = (source.bucket.as_str(), source.name.as_str());
        let of_target = (target.0.as_str(), target.1.as_str());
        let authority = &self.shared.authority;
        authority.authorise_opened(asker, of_source, version.as_deref(), taken.tags)?;
        if tags_too {
            authority.authorise_copied_tags(asker, of_source, version.is_some(), of_target, taken.tags)?;
        }
        self.authorise_read(&source.bucket, &source.name, &taken.sse)?;
        self.authorise_key(KeyUse::Encrypt, taken.sealed_with, target)
    }

    /// Refuses parts to those who may not use the key of their upload.
    pub(crate) async fn authorise_parts(
        &self,
        bucket: &BucketName,
        name: &ObjectName,
        upload: UploadId,
    ) -> Result<(), ApiError> {
        if self.asker()?.is_root() {
            return Ok(());
        }
        self.authorise_read(bucket, name, &self.objects().sse_of_upload(bucket, name, upload).await?)
    }

    /// Refuses the use of a key of the key management to those who may not use it, whatever they may do to the object.
    fn authorise_key(
        &self,
        purpose: KeyUse,
        used: Option<KmsUse>,
        (bucket, name): (&BucketName, &ObjectName),
    ) -> Result<(), ApiError> {
        let Some(used) = used else { return Ok(()) };
        let object = Resource::Object(bucket.as_str(), name.as_str());
        self.shared.authority.require_key(self.asker()?, purpose, &used, object, self.region())
    }

    /// Verifies a document against its headers, if there is one: the library has read it, and operations are to believe it.
    fn check_document(&self, operation: &str) -> Result<(), ApiError> {
        let document = self.state.take_document();
        match &document {
            // Content is verified as it comes, and is never held.
            Some(document) if !matches!(operation, "put_object" | "upload_part") => {
                // The headers of a completion have the checksum of the object; a trailer is of what it comes behind.
                if operation != "complete_multipart_upload" {
                    checksum::verify_document(&self.headers, document)?;
                }
                checksum::verify_trailer(&self.headers, self.trailers.as_ref(), document)?;
            }
            _ => {}
        }
        undone::check(operation, &self.headers, document.as_deref())?;
        match document {
            Some(document) => elements::check(operation, &document),
            None => Ok(()),
        }
    }

    /// The span of the request, for what is logged after the operation returned.
    pub(crate) fn state(&self) -> &RequestState {
        &self.state
    }
}

impl Face {
    fn split<T>(&self, mut request: S3Request<T>) -> (Call, T) {
        let verified = request.extensions.remove::<Verified>();
        let expires_answered = verified.as_ref().and_then(|seen| seen.expires_answered.clone());
        let seen =
            verified.map(|seen| (seen.trailers, seen.expires, seen.customer_keys_blocked, seen.named_parts));
        let (trailers, expires, customer_keys_blocked, named_parts) = seen.unwrap_or_default();
        // It names nothing, so operations are not to take it for something.
        if request.headers.get(checksum::TRAILER).is_some_and(HeaderValue::is_empty) {
            request.headers.remove(checksum::TRAILER);
        }
        if let Some(expires) = expires {
            request.headers.insert(EXPIRES, expires);
        }
        let state = request.extensions.get::<RequestState>().cloned();
        let call = Call {
            shared: self.0.clone(),
            state: state.expect("the service puts the state into every request"),
            headers: request.headers,
            trailers: request.trailing_headers.or(trailers),
            customer_keys_blocked,
            expires_answered,
            named_parts,
            new_tags: request.extensions.remove::<NewTags>().unwrap_or_default().0,
        };
        (call, request.input)
    }
}

/// Keeps the whole error for the answer; the library carries only its code.
pub(crate) fn fail(state: &RequestState, error: ApiError) -> S3Error {
    let mut short = S3Error::new(S3ErrorCode::Custom(error.code.as_ref().into()));
    short.set_status_code(error.status);
    state.set_error(error);
    short
}

macro_rules! operations {
    ($($method:ident($input:ident) -> $output:ident = $operation:path;)+) => {
        /// All operations, for the test that each has an action.
        #[cfg(test)]
        pub(crate) const METHODS: &[&str] = &[$(stringify!($method)),+];

        #[async_trait::async_trait]
        impl S3 for Face {$(
            async fn $method(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                let meant = crate::subresource::check(stringify!($method), request.uri.query().unwrap_or_default());
                let (call, input) = self.split(request);
                let (state, authority) = (call.state.clone(), self.0.authority.clone());
                meant.map_err(|error| fail(&state, error))?;
                call.check_document(stringify!($method)).map_err(|error| fail(&state, error))?;
                let origin = state.origin();
                let run = Box::pin(events::scope(origin, $operation(call, input)));
                run.with_subscriber(state.logs())
                    .await
                    .map_err(|error| fail(&state, authority.without_secrets(error, &state)))
            }
        )+}
    };
}

operations! {
    list_buckets(ListBucketsInput) -> ListBucketsOutput = ops::list_buckets::run;
    create_bucket(CreateBucketInput) -> CreateBucketOutput = ops::create_bucket::run;
    head_bucket(HeadBucketInput) -> HeadBucketOutput = ops::head_bucket::run;
    delete_bucket(DeleteBucketInput) -> DeleteBucketOutput = ops::delete_bucket::run;

    get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput = ops::bucket_settings::location;
    get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput = ops::bucket_versioning::get;
    put_bucket_versioning(PutBucketVersioningInput) -> PutBucketVersioningOutput = ops::bucket_versioning::put;
    get_bucket_encryption(GetBucketEncryptionInput) -> GetBucketEncryptionOutput = ops::bucket_encryption::get;
    put_bucket_encryption(PutBucketEncryptionInput) -> PutBucketEncryptionOutput = ops::bucket_encryption::put;
    delete_bucket_encryption(DeleteBucketEncryptionInput) -> DeleteBucketEncryptionOutput
        = ops::bucket_encryption::delete;
    get_bucket_request_payment(GetBucketRequestPaymentInput) -> GetBucketRequestPaymentOutput
        = ops::bucket_settings::request_payment;
    get_bucket_accelerate_configuration(GetBucketAccelerateConfigurationInput)
        -> GetBucketAccelerateConfigurationOutput = ops::bucket_settings::accelerate;
    get_bucket_logging(GetBucketLoggingInput) -> GetBucketLoggingOutput = ops::bucket_settings::logging;
    get_bucket_notification_configuration(GetBucketNotificationConfigurationInput)
        -> GetBucketNotificationConfigurationOutput = ops::bucket_settings::notification::get;
    put_bucket_notification_configuration(PutBucketNotificationConfigurationInput)
        -> PutBucketNotificationConfigurationOutput = ops::bucket_settings::notification::put;
    get_bucket_ownership_controls(GetBucketOwnershipControlsInput) -> GetBucketOwnershipControlsOutput
        = ops::bucket_settings::ownership::get;
    put_bucket_ownership_controls(PutBucketOwnershipControlsInput) -> PutBucketOwnershipControlsOutput
        = ops::bucket_settings::ownership::put;
    delete_bucket_ownership_controls(DeleteBucketOwnershipControlsInput) -> DeleteBucketOwnershipControlsOutput
        = ops::bucket_settings::ownership::delete;
    get_public_access_block(GetPublicAccessBlockInput) -> GetPublicAccessBlockOutput
        = ops::bucket_settings::public_access::get;
    put_public_access_block(PutPublicAccessBlockInput) -> PutPublicAccessBlockOutput
        = ops::bucket_settings::public_access::put;
    delete_public_access_block(DeletePublicAccessBlockInput) -> DeletePublicAccessBlockOutput
        = ops::bucket_settings::public_access::delete;
    get_bucket_policy(GetBucketPolicyInput) -> GetBucketPolicyOutput = ops::bucket_settings::policy::get;
    put_bucket_policy(PutBucketPolicyInput) -> PutBucketPolicyOutput = ops::bucket_settings::policy::put;
    delete_bucket_policy(DeleteBucketPolicyInput) -> DeleteBucketPolicyOutput
        = ops::bucket_settings::policy::delete;
    get_bucket_policy_status(GetBucketPolicyStatusInput) -> GetBucketPolicyStatusOutput
        = ops::bucket_settings::policy::status;
    get_bucket_cors(GetBucketCorsInput) -> GetBucketCorsOutput = ops::bucket_settings::cors::get;
    put_bucket_cors(PutBucketCorsInput) -> PutBucketCorsOutput = ops::bucket_settings::cors::put;
    delete_bucket_cors(DeleteBucketCorsInput) -> DeleteBucketCorsOutput = ops::bucket_settings::cors::delete;
    get_bucket_lifecycle_configuration(GetBucketLifecycleConfigurationInput)
        -> GetBucketLifecycleConfigurationOutput = ops::bucket_settings::lifecycle::get;
    put_bucket_lifecycle_configuration(PutBucketLifecycleConfigurationInput)
        -> PutBucketLifecycleConfigurationOutput = ops::bucket_settings::lifecycle::put;
    delete_bucket_lifecycle(DeleteBucketLifecycleInput) -> DeleteBucketLifecycleOutput
        = ops::bucket_settings::lifecycle::delete;
    get_bucket_tagging(GetBucketTaggingInput) -> GetBucketTaggingOutput = ops::bucket_settings::tagging::get;
    put_bucket_tagging(PutBucketTaggingInput) -> PutBucketTaggingOutput = ops::bucket_settings::tagging::put;
    delete_bucket_tagging(DeleteBucketTaggingInput) -> DeleteBucketTaggingOutput
        = ops::bucket_settings::tagging::delete;
    get_bucket_website(GetBucketWebsiteInput) -> GetBucketWebsiteOutput = ops::bucket_settings::website;
    get_bucket_replication(GetBucketReplicationInput) -> GetBucketReplicationOutput
        = ops::bucket_settings::replication;
    delete_bucket_website(DeleteBucketWebsiteInput) -> DeleteBucketWebsiteOutput
        = ops::bucket_settings::nothing::website;
    delete_bucket_replication(DeleteBucketReplicationInput) -> DeleteBucketReplicationOutput
        = ops::bucket_settings::nothing::replication;
    put_bucket_accelerate_configuration(PutBucketAccelerateConfigurationInput)
        -> PutBucketAccelerateConfigurationOutput = ops::bucket_settings::nothing::accelerate;
    put_bucket_request_payment(PutBucketRequestPaymentInput) -> PutBucketRequestPaymentOutput
        = ops::bucket_settings::nothing::request_payment;
    put_bucket_logging(PutBucketLoggingInput) -> PutBucketLoggingOutput = ops::bucket_settings::nothing::logging;
    list_bucket_analytics_configurations(ListBucketAnalyticsConfigurationsInput)
        -> ListBucketAnalyticsConfigurationsOutput = ops::bucket_settings::nothing::analytics;
    list_bucket_intelligent_tiering_configurations(ListBucketIntelligentTieringConfigurationsInput)
        -> ListBucketIntelligentTieringConfigurationsOutput = ops::bucket_settings::nothing::tiering;
    list_bucket_inventory_configurations(ListBucketInventoryConfigurationsInput)
        -> ListBucketInventoryConfigurationsOutput = ops::bucket_settings::nothing::inventory;
    list_bucket_metrics_configurations(ListBucketMetricsConfigurationsInput)
        -> ListBucketMetricsConfigurationsOutput = ops::bucket_settings::nothing::metrics;
    get_object_lock_configuration(GetObjectLockConfigurationInput) -> GetObjectLockConfigurationOutput
        = ops::object_lock::get_configuration;
    put_object_lock_configuration(PutObjectLockConfigurationInput) -> PutObjectLockConfigurationOutput
        = ops::object_lock::put_configuration;
    get_object_retention(GetObjectRetentionInput) -> GetObjectRetentionOutput = ops::object_lock::get_retention;
    put_object_retention(PutObjectRetentionInput) -> PutObjectRetentionOutput = ops::object_lock::put_retention;
    get_object_legal_hold(GetObjectLegalHoldInput) -> GetObjectLegalHoldOutput = ops::object_lock::get_legal_hold;
    put_object_legal_hold(PutObjectLegalHoldInput) -> PutObjectLegalHoldOutput = ops::object_lock::put_legal_hold;
    get_bucket_acl(GetBucketAclInput) -> GetBucketAclOutput = ops::acl::of_bucket;
    get_object_acl(GetObjectAclInput) -> GetObjectAclOutput = ops::acl::of_object;
    put_bucket_acl(PutBucketAclInput) -> PutBucketAclOutput = ops::acl::put_bucket;
    put_object_acl(PutObjectAclInput) -> PutObjectAclOutput = ops::acl::put_object;

    put_object(PutObjectInput) -> PutObjectOutput = ops::put_object::run;
    get_object(GetObjectInput) -> GetObjectOutput = ops::get_object::run;
    head_object(HeadObjectInput) -> HeadObjectOutput = ops::head_object::run;
    get_object_attributes(GetObjectAttributesInput) -> GetObjectAttributesOutput = ops::get_object_attributes::run;
    copy_object(CopyObjectInput) -> CopyObjectOutput = ops::copy_object::run;
    delete_object(DeleteObjectInput) -> DeleteObjectOutput = ops::delete_object::run;
    delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput = ops::delete_objects::run;

    get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput = ops::object_tagging::get;
    put_object_tagging(PutObjectTaggingInput) -> PutObjectTaggingOutput = ops::object_tagging::put;
    delete_object_tagging(DeleteObjectTaggingInput) -> DeleteObjectTaggingOutput = ops::object_tagging::delete;

    list_objects(ListObjectsInput) -> ListObjectsOutput = ops::list_objects::run;
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output = ops::list_objects_v2::run;
    list_object_versions(ListObjectVersionsInput) -> ListObjectVersionsOutput = ops::list_object_versions::run;

    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput
        = ops::create_multipart_upload::run;
    upload_part(UploadPartInput) -> UploadPartOutput = ops::upload_part::run;
    upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput = ops::upload_part_copy::run;
    complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput
        = ops::complete_multipart_upload::run;
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput
        = ops::abort_multipart_upload::run;
    list_parts(ListPartsInput) -> ListPartsOutput = ops::list_parts::run;
    list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput
        = ops::list_multipart_uploads::run;
}
