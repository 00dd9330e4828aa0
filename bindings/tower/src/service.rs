//! The service that wraps another one.

use std::borrow::Cow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bpos::{Denial, Grant};
use http::request::Parts;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::answer::{self, Form};
use crate::body::ResponseBody;
use crate::facts::API_KEY;
use crate::layer::{AnyStore, AuthorizeLayer};

/// Calls the inner service with requests that are allowed, and answers the others itself. [`AuthorizeLayer`] makes it.
#[derive(Clone)]
pub struct Authorize<S, F = AnyStore> {
    inner: S,
    layer: AuthorizeLayer<F>,
}

impl<S, F> Authorize<S, F> {
    pub(crate) fn new(inner: S, layer: AuthorizeLayer<F>) -> Self {
        Self { inner, layer }
    }
}

impl<S, F, B, R> Service<Request<B>> for Authorize<S, F>
where
    S: Service<Request<B>, Response = Response<R>>,
    F: Fn(&Parts) -> Option<Cow<'_, str>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let state = match self.layer.decide(&parts) {
            Ok(grant) => {
                // Whoever is within learns whose request it is from the grant, and never sees the key.
                parts.headers.remove(API_KEY);
                parts.extensions.insert(grant);
                State::Allowed { response: self.inner.call(Request::from_parts(parts, body)), grant }
            }
            Err(denial) => State::Denied { denial, form: Form::of(&parts) },
        };
        ResponseFuture { state }
    }
}

pin_project! {
    /// The response of [`Authorize`].
    pub struct ResponseFuture<T> {
        #[pin]
        state: State<T>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<T> {
        Allowed { #[pin] response: T, grant: Grant },
        Denied { denial: Denial, form: Form },
    }
}

impl<T, R, E> Future for ResponseFuture<T>
where
    T: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project().state.project() {
            StateProjection::Allowed { response, grant } => {
                ready!(response.poll(context)).map(|response| answer::allowed(response, *grant))
            }
            StateProjection::Denied { denial, form } => Ok(answer::denied(*denial, *form)),
        })
    }
}
