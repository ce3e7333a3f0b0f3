//! What the library hands over as soon as the signature is checked: one hook for all that is not S3's usual way.

use http::header::CONTENT_TYPE;
use http::{Extensions, HeaderMap, HeaderValue, Method, Uri};
use s3s::route::S3Route;
use s3s::{Body, S3Request, S3Response, S3Result};

use crate::access::Authority;
use crate::error::DECLARATION;
use crate::face::fail;
use crate::lenient::Again;
use crate::request::RequestState;
use crate::sts;

/// The hook.
pub(crate) struct Routes {
    pub(crate) again: Again,
    pub(crate) authority: Authority,
}

fn state_of(request: &S3Request<Body>) -> RequestState {
    request.extensions.get::<RequestState>().cloned().expect("the service puts the state into every request")
}

#[async_trait::async_trait]
impl S3Route for Routes {
    fn is_match(&self, method: &Method, uri: &Uri, headers: &HeaderMap, extensions: &mut Extensions) -> bool {
        sts::is_sts(method, uri, headers) || self.again.is_match(method, uri, headers, extensions)
    }

    async fn check_access(&self, request: &mut S3Request<Body>) -> S3Result<()> {
        match state_of(request).is_sts() {
            // The service looks at the signature itself: its errors are its own.
            true => Ok(()),
            false => self.again.check_access(request).await,
        }
    }

    async fn call(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let state = state_of(&request);
        if !state.is_sts() {
            return self.again.call(request).await;
        }
        let document =
            sts::call(&self.authority, request, &state).await.map_err(|error| fail(&state, error))?;
        let mut response = S3Response::new(Body::from(format!("{DECLARATION}{document}")));
        response.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
        Ok(response)
    }
}
