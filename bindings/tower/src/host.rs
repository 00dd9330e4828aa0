//! Which store a request's host names.

use std::borrow::Cow;

use http::header::{HOST, HeaderValue};
use http::request::Parts;

/// The longest label of a domain name, in bytes (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;

/// The store that a request's host names, one level below the platform's domain: `yourstore` for
/// `YourStore.brotherpos.ca:443` and `brotherpos.ca`. It is in lower case, so the stores of the keys must be too.
///
/// ```
/// # let registry = std::sync::Arc::new(bpos::Registry::from_json(br#"{"version": 1, "keys": []}"#)?);
/// use bpos_tower::{AuthorizeLayer, store_of_host};
///
/// let authorize = AuthorizeLayer::new(registry, |parts| store_of_host(parts, "brotherpos.ca"));
/// # let _ = authorize;
/// # Ok::<(), bpos::Error>(())
/// ```
///
/// The host is the target's authority, as in HTTP/2, or else the `Host` header; a port and one trailing dot are cut.
/// If there is any doubt, the answer is `None`, and the layer denies:
///
/// - no host, several `Host` headers, or a header and an authority that name two hosts: a proxy may have routed by the
///   other one;
/// - another domain, the domain itself, two levels below it, or an address;
/// - user information (`user@`), a port that is no number, or a label that is not 1 to 63 letters, digits, `-` or `_`.
#[must_use]
pub fn store_of_host<'a>(parts: &'a Parts, domain: &str) -> Option<Cow<'a, str>> {
    let mut headers = parts.headers.get_all(HOST).iter().map(HeaderValue::to_str);
    let header = headers.next().transpose().ok()?;
    if headers.next().is_some() {
        return None;
    }
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    let host = match (authority.map(without_port), header.map(without_port)) {
        (Some(authority), Some(header)) if authority?.eq_ignore_ascii_case(header?) => authority?,
        (Some(only), None) | (None, Some(only)) => only?,
        _ => return None,
    };
    let label = one_level_below(domain, host)?;
    let capitals = label.bytes().any(|byte| byte.is_ascii_uppercase());
    Some(if capitals { label.to_ascii_lowercase().into() } else { label.into() })
}

/// A host without its port and one trailing dot; `None` if what follows the colon is no port.
fn without_port(authority: &str) -> Option<&str> {
    let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
    let is_port = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    is_port.then(|| host.strip_suffix('.').unwrap_or(host))
}

fn one_level_below<'a>(domain: &str, host: &'a str) -> Option<&'a str> {
    let (label, parent) = host.split_once('.')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let sound = (1..=MAX_LABEL).contains(&label.len()) && label.bytes().all(plain);
    (sound && parent.eq_ignore_ascii_case(domain)).then_some(label)
}
