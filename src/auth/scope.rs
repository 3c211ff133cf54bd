//! Scopes: what to ask for, in which dialect, and whether it was granted (SMART App Launch, scopes-and-launch-context).

use super::discovery::Discovery;

/// What a SMART token must cover.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeRequest {
    /// Resource types that will be read; empty: all.
    pub types: Vec<String>,
    /// Whether a Group is read (group level: B09).
    pub group: bool,
}

/// SMART's two ways of writing scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `system/Patient.read`
    V1,
    /// `system/Patient.rs`
    V2,
}

impl Dialect {
    /// The scope to read `resource_type`.
    pub fn read(self, resource_type: &str) -> String {
        match self {
            Self::V1 => format!("system/{resource_type}.read"),
            Self::V2 => format!("system/{resource_type}.rs"),
        }
    }

    fn other(self) -> Self {
        match self {
            Self::V1 => Self::V2,
            Self::V2 => Self::V1,
        }
    }

    /// The dialect that a server lists: v2 unless only v1 is there.
    pub fn of(server: &Discovery) -> Self {
        let scopes = server.scopes.as_deref().unwrap_or_default();
        let lists = |v2: bool| scopes.iter().filter_map(|s| parse(s)).any(|scope| scope.v2 == v2);
        let says = |word: &str| server.capabilities.as_deref().unwrap_or_default().iter().any(|c| c == word);
        match (lists(true), lists(false)) {
            (false, true) => Self::V1,
            (false, false) if says("permission-v1") && !says("permission-v2") => Self::V1,
            _ => Self::V2,
        }
    }
}

impl ScopeRequest {
    /// The types that must be covered, Group included; empty: all.
    pub fn needed(&self) -> Vec<String> {
        let mut types = Vec::new();
        let group = (self.group && !self.types.is_empty()).then_some("Group");
        for name in self.types.iter().map(String::as_str).chain(group) {
            if !types.iter().any(|known| known == name) {
                types.push(name.to_owned());
            }
        }
        types
    }

    /// What to ask for, best first; the next one is for a server that answers `invalid_scope` (B08): everything in the
    /// server's dialect, then only what the server lists, then everything in the other dialect.
    pub fn candidates(&self, server: &Discovery) -> Vec<String> {
        let dialect = Dialect::of(server);
        let needed = self.needed();
        let listed = server.scopes.as_deref().unwrap_or_default();
        let all = |dialect: Dialect| match needed.as_slice() {
            [] => dialect.read("*"),
            types => types.iter().map(|t| dialect.read(t)).collect::<Vec<_>>().join(" "),
        };
        let listed_types: Vec<&str> =
            listed.iter().filter_map(|s| parse(s)).filter(Scope::reads).map(|s| s.kind).collect();
        let wildcard = listed_types.contains(&"*");
        let mut narrow: Vec<String> = Vec::new();
        for kind in
            listed_types.iter().filter(|kind| !wildcard && (needed.is_empty() || needed.iter().any(|n| n == *kind)))
        {
            let scope = dialect.read(kind);
            if !narrow.contains(&scope) {
                narrow.push(scope);
            }
        }
        let narrow = narrow.join(" ");
        // Without types, what the server lists is all there is, and the wildcard is the guess.
        let order = if needed.is_empty() { [narrow, all(dialect)] } else { [all(dialect), narrow] };
        let mut candidates: Vec<String> = Vec::new();
        for scopes in order.into_iter().chain([all(dialect.other())]) {
            if !scopes.is_empty() && !candidates.contains(&scopes) {
                candidates.push(scopes);
            }
        }
        candidates
    }
}

/// One `system/…` scope.
struct Scope<'a> {
    kind: &'a str,
    v2: bool,
    permissions: &'a str,
    restricted: bool,
}

impl Scope<'_> {
    /// Whether everything of the type may be read and searched.
    fn reads(&self) -> bool {
        let enough = if self.v2 {
            self.permissions.contains('r') && self.permissions.contains('s')
        } else {
            matches!(self.permissions, "read" | "*")
        };
        enough && !self.restricted
    }
}

fn parse(scope: &str) -> Option<Scope<'_>> {
    let (scope, restricted) = scope.split_once('?').map_or((scope, false), |(scope, _)| (scope, true));
    let (kind, permissions) = scope.strip_prefix("system/")?.split_once('.')?;
    let v1 = matches!(permissions, "read" | "write" | "*");
    let v2 = !permissions.is_empty() && permissions.bytes().all(|b| b"cruds".contains(&b));
    (v1 || v2).then_some(Scope { kind, v2, permissions, restricted })
}

/// Whether a server tells what it grants in SMART's words at all.
pub fn is_readable(granted: &str) -> bool {
    granted.split([' ', ',']).any(|scope| parse(scope).is_some())
}

/// What was asked for and is not in `granted` (B10): types that cannot be read in full, and other scopes verbatim. Empty
/// if everything was granted.
pub fn missing(asked: &str, granted: &str) -> Vec<String> {
    let granted: Vec<&str> = granted.split([' ', ',']).filter(|s| !s.is_empty()).collect();
    let covers = |kind: &str| {
        granted.iter().filter_map(|s| parse(s)).any(|scope| scope.reads() && (scope.kind == "*" || scope.kind == kind))
    };
    let mut missing: Vec<String> = Vec::new();
    for scope in asked.split_whitespace().filter(|scope| !granted.contains(scope)) {
        let name = match parse(scope) {
            Some(scope) if scope.reads() && covers(scope.kind) => continue,
            Some(scope) if scope.reads() => scope.kind,
            _ => scope,
        };
        if !missing.iter().any(|known| known == name) {
            missing.push(name.to_owned());
        }
    }
    missing
}
