//! Where a redirect may lead, and which origins may see credentials. Pure; used for every hop of every request.

use super::{redact, url};
use crate::{Error, ErrorKind, Result};

pub use super::url::origin;

/// Redirects that are followed for one request.
pub const MAX_HOPS: usize = 10;

/// Whether `status` is a redirect that is followed when it has a `Location`.
pub fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// The URL of the next hop. Never from https to http (F05).
pub fn next_hop(from: &str, location: &str) -> Result<String> {
    let target = url::resolve(location, from).map_err(|why| bad_target(from, why))?;
    checked(from, target)
}

/// `target`, if a redirect may lead there from `from`.
pub(crate) fn checked(from: &str, target: String) -> Result<String> {
    let secure = |url: &str| url::parse(url).is_ok_and(|parts| parts.https);
    if secure(from) && !secure(&target) {
        let (from, target) = (redact::url(from), redact::url(&target));
        let message = format!("{from} redirects to plain http ({target}), which is not followed.");
        return Err(Error::new(ErrorKind::Insecure, "redirect", message)
            .with_hint("If the server only names itself wrongly behind a proxy, correct it with --rewrite-url."));
    }
    Ok(target)
}

pub(crate) fn bad_target(from: &str, why: &str) -> Error {
    let message = format!("{} redirects to an address that {why}.", redact::url(from));
    Error::new(ErrorKind::Protocol, "redirect", message)
}

/// Whether credentials may go to `url`: its origin is one of `origins`, and it is https, or loopback, or `allow_insecure`.
pub fn may_send_credentials(url: &str, origins: &[String], allow_insecure: bool) -> bool {
    url::parse(url).is_ok_and(|parts| is_private(&parts, allow_insecure) && origins.contains(&parts.origin()))
}

/// Whether nobody on the way reads along: https, this machine, or the user does not mind.
pub fn is_private(parts: &url::Parts<'_>, allow_insecure: bool) -> bool {
    parts.https || allow_insecure || parts.is_loopback()
}
