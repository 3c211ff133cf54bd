//! Whether a URL that a server gave may see the token (F04, F05, F06). Pure.

use crate::http::{redirect, url};

/// What to do about the token for one URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRule {
    /// Send it; each redirect is judged anew by [`redirect::may_send_credentials`].
    Send,
    /// Go without.
    Withhold(Withheld),
}

/// Why a token is withheld.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// `requiresAccessToken` is false: sending it is forbidden (F04), and breaks signed URLs.
    NotWanted,
    /// The origin is neither the server's nor allowed by `--token-origin`.
    OtherOrigin,
    /// Plain http to another machine, without `--allow-insecure`.
    PlainHttp,
}

/// The rule for `url`. `required` is the manifest's `requiresAccessToken`; a server that leaves it out (old HAPI) wants the
/// token, as everywhere else at its own origin. `origins` are those that may see credentials.
pub fn token_rule(required: Option<bool>, url: &str, origins: &[String], allow_insecure: bool) -> TokenRule {
    if required == Some(false) {
        return TokenRule::Withhold(Withheld::NotWanted);
    }
    match url::parse(url) {
        Ok(parts) if !origins.contains(&parts.origin()) => TokenRule::Withhold(Withheld::OtherOrigin),
        Ok(parts) if !redirect::is_private(&parts, allow_insecure) => TokenRule::Withhold(Withheld::PlainHttp),
        Ok(_) => TokenRule::Send,
        Err(_) => TokenRule::Withhold(Withheld::OtherOrigin),
    }
}
