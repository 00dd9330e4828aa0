//! The layer and its options.

use std::borrow::Cow;
use std::sync::Arc;

use bpos::{Denial, Error, Grant, Registry, Scope};
use http::request::Parts;
use tower_layer::Layer;

use crate::facts;
use crate::follow::Follow;
use crate::service::Authorize;

/// Puts [`Authorize`] around a service.
///
/// It is cheap to clone, and its clones share the registry: a `registry.reload()` elsewhere takes effect here at once.
#[derive(Clone)]
pub struct AuthorizeLayer<F = AnyStore> {
    registry: Arc<Registry>,
    /// `None` skips the check of the store.
    store: Option<F>,
    /// `None` takes the scope from the policy's routes.
    scope: Option<Scope>,
    follow: Option<Follow>,
}

/// The type of a layer that asks for no store: [`AuthorizeLayer::any_store`].
pub type AnyStore = fn(&Parts) -> Option<Cow<'_, str>>;

impl<F> AuthorizeLayer<F>
where
    F: Fn(&Parts) -> Option<Cow<'_, str>>,
{
    /// Authorizes each request for the store that `store` finds in it: by its host, by a header of a trusted proxy, or
    /// always the same.
    ///
    /// `None` means that the request names no store. Then no key matches, and the request is denied: a failed look-up
    /// must not skip the check.
    ///
    /// ```
    /// # let registry = std::sync::Arc::new(bpos::Registry::from_json(br#"{"version": 1, "keys": []}"#)?);
    /// use bpos_tower::AuthorizeLayer;
    ///
    /// let one_store = AuthorizeLayer::new(registry.clone(), |_| Some("yourstore".into()));
    /// let by_header = AuthorizeLayer::new(registry, |parts| {
    ///     parts.headers.get("x-store")?.to_str().ok().map(Into::into)
    /// });
    /// # let _ = (one_store, by_header);
    /// # Ok::<(), bpos::Error>(())
    /// ```
    pub fn new(registry: Arc<Registry>, store: F) -> Self {
        Self { registry, store: Some(store), scope: None, follow: None }
    }
}

impl AuthorizeLayer {
    /// Authorizes each request whatever store its key belongs to. The check is skipped: whoever serves the request must
    /// serve the store of its [`Grant`], and no other.
    pub fn any_store(registry: Arc<Registry>) -> Self {
        Self { registry, store: None, scope: None, follow: None }
    }
}

impl<F> AuthorizeLayer<F> {
    /// Names the scope that the requests need, whatever the policy's routes say: for a host that does its own
    /// routing. A request writes if the scope is a write scope; its method is ignored.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use bpos::Scope;
    /// use bpos_tower::AuthorizeLayer;
    ///
    /// # let registry = std::sync::Arc::new(bpos::Registry::from_json(br#"{"version": 1, "keys": []}"#)?);
    /// let authorize = AuthorizeLayer::new(registry, |_| Some("yourstore".into()));
    /// let app: Router = Router::new()
    ///     .route("/reports", get("all the sales").layer(authorize.clone().scope(Scope::SALES_READ)))
    ///     .route("/hooks", get("all the hooks").layer(authorize.scope(Scope::WEBHOOKS_MANAGE)));
    /// # let _ = app;
    /// # Ok::<(), bpos::Error>(())
    /// ```
    ///
    /// A scope that is not in the registry's policy gives 500. [`Registry::scope`] finds one by its name.
    #[must_use]
    pub fn scope(self, scope: Scope) -> Self {
        Self { scope: Some(scope), ..self }
    }

    /// Checks the registry's file before each request, with one call to the operating system, and reads it again if it has
    /// changed: a key revoked by `bpos key revoke` or by another process is denied at the next request.
    ///
    /// If the file cannot be read, the keys stay in force, and `not_reloaded` is told why, once for each error. The request
    /// that finds the file changed waits for it to be read, a few milliseconds for ten thousand keys: for more, call
    /// [`Registry::reload_if_changed`] on a blocking thread instead.
    ///
    /// ```no_run
    /// # use bpos_tower::AuthorizeLayer;
    /// let registry = std::sync::Arc::new(bpos::Registry::open("keys.json")?);
    /// let authorize = AuthorizeLayer::new(registry, |_| Some("yourstore".into()))
    ///     .follow_file(|error| eprintln!("not reloaded, the old keys stay in force: {error}"));
    /// # let _ = authorize;
    /// # Ok::<(), bpos::Error>(())
    /// ```
    #[must_use]
    pub fn follow_file(self, not_reloaded: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        Self { follow: Some(Follow::new(not_reloaded)), ..self }
    }
}

impl<F> AuthorizeLayer<F>
where
    F: Fn(&Parts) -> Option<Cow<'_, str>>,
{
    pub(crate) fn decide(&self, parts: &Parts) -> Result<Grant, Denial> {
        self.follow.iter().for_each(|follow| follow.look(&self.registry));
        let store = self.store.as_ref().map(|store| store(parts).unwrap_or_default());
        let request = bpos::Request::new(parts.method.as_str(), facts::target(parts))
            .api_key(facts::api_key(parts))
            .store(store.as_deref());
        match (self.scope, facts::now(parts)) {
            (None, None) => self.registry.authorize(&request),
            (None, Some(now)) => self.registry.authorize_at(&request, now),
            (Some(scope), None) => self.registry.authorize_scope(&request, scope),
            (Some(scope), Some(now)) => self.registry.authorize_scope_at(&request, scope, now),
        }
    }
}

impl<S, F: Clone> Layer<S> for AuthorizeLayer<F> {
    type Service = Authorize<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        Authorize::new(inner, self.clone())
    }
}
