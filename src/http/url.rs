//! Absolute http(s) URLs, kept byte for byte.
//!
//! Not the `url` crate: it re-encodes (`'` becomes `%27`, `\` becomes `/`), which breaks signed URLs (F12), and costs 72 KB
//! of the 300 KB that a wasm file may have (gzipped, measured). What is here refuses whatever a host's URL parser could read
//! in another way (user info, `\`, control characters, odd host names): two readings of one authority are how tokens get
//! to strangers.

/// An http(s) URL, taken apart. The pieces put together again are the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// Whether the scheme is `https`.
    pub https: bool,
    /// Host name or address, as written; IPv6 in brackets.
    pub host: &'a str,
    /// The port, written or by default.
    pub port: u16,
    /// Scheme and authority, as written: `https://host:port`.
    pub root: &'a str,
    /// The path, as written; may be empty.
    pub path: &'a str,
    /// What follows the path: query and fragment with their marks; may be empty.
    pub tail: &'a str,
}

/// Takes an absolute http(s) URL apart. An error is the end of a sentence that began with the URL.
pub fn parse(url: &str) -> Result<Parts<'_>, &'static str> {
    if url.bytes().any(|b| b <= b' ' || b == 0x7f) {
        return Err("holds a space or a control character");
    }
    let (scheme, rest) = url.split_once("://").ok_or("is no absolute http(s) URL")?;
    let https = scheme.eq_ignore_ascii_case("https");
    if !https && !scheme.eq_ignore_ascii_case("http") {
        return Err("is neither http nor https");
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    if authority.contains('@') {
        return Err("holds a user name; use the flags for credentials");
    }
    let (host, port) = match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => (&authority[..colon], Some(&authority[colon + 1..])),
        _ => (authority, None),
    };
    if !valid_host(host) {
        return Err("has no valid host name");
    }
    let port = match port {
        None | Some("") => {
            if https {
                443
            } else {
                80
            }
        }
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().map_err(|_| "has no valid port")?
        }
        Some(_) => return Err("has no valid port"),
    };
    let root = &url[..scheme.len() + 3 + authority.len()];
    let mark = after.find(['?', '#']).unwrap_or(after.len());
    Ok(Parts { https, host, port, root, path: &after[..mark], tail: &after[mark..] })
}

fn valid_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return inner.parse::<core::net::Ipv6Addr>().is_ok();
    }
    !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

impl Parts<'_> {
    /// `scheme://host[:port]`: lower case, without a default port.
    pub fn origin(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        let host = self.host.to_ascii_lowercase();
        match (self.https, self.port) {
            (true, 443) | (false, 80) => format!("{scheme}://{host}"),
            (_, port) => format!("{scheme}://{host}:{port}"),
        }
    }

    /// Whether the host is this machine by name or address, without asking DNS.
    pub fn is_loopback(&self) -> bool {
        let host = self.host.to_ascii_lowercase();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || host.ends_with(".localhost")
            || bare.parse::<core::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// The text before the path: scheme and authority, as written. All of it where there is no path.
pub fn root(url: &str) -> &str {
    let authority = if url.starts_with("https://") { 8 } else { url.find("://").map_or(0, |colon| colon + 3) };
    let end = url.as_bytes()[authority..].iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    end.map_or(url, |end| &url[..authority + end])
}

/// The origin of an absolute http(s) URL; `None` if it is none.
pub fn origin(url: &str) -> Option<String> {
    parse(url).ok().map(|parts| parts.origin())
}

/// Resolves `reference` against the absolute URL `base` (RFC 3986 §5). An absolute reference is kept byte for byte.
pub fn resolve(reference: &str, base: &str) -> Result<String, &'static str> {
    let reference = reference.trim_matches([' ', '\t', '\r', '\n']);
    if has_scheme(reference) {
        return parse(reference).map(|_| reference.to_owned());
    }
    let base = parse(base)?;
    let target = if reference.starts_with("//") {
        format!("{}:{reference}", if base.https { "https" } else { "http" })
    } else if reference.starts_with('/') {
        let mark = reference.find(['?', '#']).unwrap_or(reference.len());
        format!("{}{}{}", base.root, without_dots(&reference[..mark]), &reference[mark..])
    } else if reference.is_empty() || reference.starts_with('#') {
        let query = base.tail.split('#').next().unwrap_or_default();
        format!("{}{}{query}{reference}", base.root, base.path)
    } else if reference.starts_with('?') {
        format!("{}{}{reference}", base.root, base.path)
    } else {
        let mark = reference.find(['?', '#']).unwrap_or(reference.len());
        let folder = base.path.rfind('/').map_or("/", |slash| &base.path[..=slash]);
        let path = without_dots(&format!("{folder}{}", &reference[..mark]));
        format!("{}{path}{}", base.root, &reference[mark..])
    };
    parse(&target).map(|_| ())?;
    Ok(target)
}

/// Whether a reference begins with a scheme (RFC 3986 §3.1), so that it is absolute.
fn has_scheme(reference: &str) -> bool {
    reference.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    })
}

/// RFC 3986 §5.2.4 for a path that begins with `/`.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}
