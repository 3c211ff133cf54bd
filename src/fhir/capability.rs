//! The CapabilityStatement, read as a hint: whatever it lacks or gets wrong never blocks an export (A06).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::config::Level;

/// Versions of the Bulk Data Access IG that differ for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stu {
    /// 1.0
    Stu1,
    /// 2.0
    Stu2,
    /// 3.0
    Stu3,
    /// 4.0 and later
    Stu4,
}

impl Stu {
    /// Reads `3.0.0`, `4.0.0-ballot`, `1`.
    fn parse(version: &str) -> Option<Self> {
        match version.split(['.', '-']).next()?.trim().parse::<u32>().ok()? {
            0 => None,
            1 => Some(Self::Stu1),
            2 => Some(Self::Stu2),
            3 => Some(Self::Stu3),
            _ => Some(Self::Stu4),
        }
    }
}

/// Makers of servers whose quirks matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vendor {
    /// `software.name` is Epic.
    Epic,
    /// `publisher` is Cerner or Oracle Health.
    Oracle,
    /// Anything else.
    #[default]
    Other,
}

/// An advertised export operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The name to invoke, without `$`.
    pub name: String,
    /// The version of the IG, where the definition says so.
    pub stu: Option<Stu>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    System,
    Patient,
    Group,
}

/// What is said of one resource type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeCapability {
    /// Search parameters.
    pub search_params: BTreeSet<String>,
    /// Search parameters that cannot be used in `_typeFilter` (A07).
    pub not_in_export: BTreeSet<String>,
    /// Whether the type as a whole cannot be exported (A07).
    pub export_not_supported: bool,
    /// Whether `search-type` is among the interactions.
    pub search_type: bool,
}

/// What is worth knowing of a CapabilityStatement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capability {
    /// `software.name`
    pub software_name: Option<String>,
    /// `software.version`
    pub software_version: Option<String>,
    /// `software.releaseDate`
    pub software_release_date: Option<String>,
    /// `fhirVersion`
    pub fhir_version: Option<String>,
    /// Whose server it is.
    pub vendor: Vendor,
    /// The types that are listed; `None` where no list was found, which says nothing about any type.
    pub types: Option<BTreeMap<String, TypeCapability>>,
    /// Search parameters for all types.
    pub search_params: BTreeSet<String>,
    operations: Vec<(Place, Operation)>,
    stu: Option<Stu>,
}

impl Capability {
    /// Reads a body; an error is a sentence that says why it is of no use.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body))
            .map_err(|_| "The CapabilityStatement is no JSON.".to_owned())?;
        match value["resourceType"].as_str() {
            Some("CapabilityStatement" | "Conformance") => Ok(Self::from_json(&value)),
            Some(other) => {
                let other = super::outcome::clean(other);
                Err(format!("The server answers with a resource of type '{other}' where a CapabilityStatement is due."))
            }
            None => Err("The server answers with JSON that is no CapabilityStatement.".to_owned()),
        }
    }

    /// Reads a parsed CapabilityStatement. Parts of a wrong shape count as absent.
    pub fn from_json(value: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let mut found = Self {
            software_name: text(&value["software"]["name"]),
            software_version: text(&value["software"]["version"]),
            software_release_date: text(&value["software"]["releaseDate"]),
            fhir_version: text(&value["fhirVersion"]),
            vendor: vendor(value),
            stu: items(&value["instantiates"]).filter_map(Value::as_str).filter_map(ig_version).max(),
            ..Self::default()
        };
        let server = |rest: &&Value| rest["mode"].as_str().is_none_or(|mode| mode == "server");
        for rest in items(&value["rest"]).filter(server) {
            found.read_rest(rest);
        }
        found
    }

    fn read_rest(&mut self, rest: &Value) {
        self.search_params.extend(names(&rest["searchParam"]));
        for operation in items(&rest["operation"]) {
            self.add_operation(operation, None);
        }
        if !rest["resource"].is_array() {
            return;
        }
        let mut types = self.types.take().unwrap_or_default();
        for resource in items(&rest["resource"]) {
            let Some(name) = resource["type"].as_str() else { continue };
            let entry = types.entry(name.to_owned()).or_default();
            entry.search_params.extend(names(&resource["searchParam"]));
            entry.not_in_export.extend(
                items(&resource["searchParam"])
                    .filter(|param| is_not_supported(param))
                    .filter_map(|param| param["name"].as_str().map(str::to_owned)),
            );
            entry.export_not_supported |= is_not_supported(resource);
            let interactions = &mut items(&resource["interaction"]);
            entry.search_type |= interactions.any(|one| one["code"].as_str() == Some("search-type"));
            let place = match name {
                "Patient" => Place::Patient,
                "Group" => Place::Group,
                _ => continue,
            };
            for operation in items(&resource["operation"]) {
                self.add_operation(operation, Some(place));
            }
        }
        self.types = Some(types);
    }

    fn add_operation(&mut self, operation: &Value, place: Option<Place>) {
        let name = operation["name"].as_str().unwrap_or_default().trim_start_matches('$');
        // R4: a canonical; STU3: a Reference.
        let definition = &operation["definition"];
        let definition = definition.as_str().or_else(|| definition["reference"].as_str()).unwrap_or_default();
        let tail = definition.split('|').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        // 1.0.0 lists all levels under `rest`, told apart by name or definition (A05).
        let by_name = |text: &str| match text {
            "patient-export" => Some(Place::Patient),
            "group-export" => Some(Place::Group),
            "export" => Some(Place::System),
            _ => None,
        };
        let is_export = name == "export" || name.starts_with("export-v") || by_name(name).is_some();
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if !is_export || !plain {
            return;
        }
        let place = place.or_else(|| by_name(tail)).or_else(|| by_name(name)).unwrap_or(Place::System);
        let invoke = if by_name(name).is_some() { "export" } else { name };
        let stu = name.strip_prefix("export-v").and_then(Stu::parse).or_else(|| ig_version(definition));
        let operation = Operation { name: invoke.to_owned(), stu };
        let entry = (place, operation);
        if !self.operations.contains(&entry) {
            self.operations.push(entry);
        }
    }

    /// The export operations advertised for a level.
    pub fn exports(&self, level: &Level) -> impl Iterator<Item = &Operation> {
        let place = match level {
            Level::System => Place::System,
            Level::Patient => Place::Patient,
            Level::Group(_) => Place::Group,
        };
        self.operations.iter().filter(move |(at, _)| *at == place).map(|(_, operation)| operation)
    }

    /// The operation to invoke for a level: the newest one that `accept` takes, else plain `export` in the version that
    /// the statement claims as a whole. Never `None`: an export that is not advertised is tried all the same.
    pub fn export(&self, level: &Level, accept: impl Fn(Stu) -> bool) -> Operation {
        let fits = |operation: &&Operation| operation.stu.is_none_or(&accept);
        let best = self.exports(level).filter(fits).max_by_key(|operation| operation.stu);
        let mut best = best.cloned().unwrap_or_else(|| Operation { name: "export".to_owned(), stu: None });
        best.stu = best.stu.or(self.stu);
        best
    }

    /// Whether the server lists a type; `None` where there is no list to go by.
    pub fn lists(&self, resource_type: &str) -> Option<bool> {
        self.types.as_ref().map(|types| types.contains_key(resource_type))
    }

    /// Whether the server lists a search parameter for a type.
    pub fn searches(&self, resource_type: &str, param: &str) -> bool {
        self.search_params.contains(param)
            || self
                .types
                .as_ref()
                .and_then(|types| types.get(resource_type))
                .is_some_and(|known| known.search_params.contains(param))
    }

    /// Whether the server says that it finds resources of a type by their ids (`_id`), which may then be several.
    pub fn finds_by_id(&self, resource_type: &str) -> bool {
        let listed = self.types.as_ref().and_then(|types| types.get(resource_type));
        listed.is_some_and(|known| known.search_type) && self.searches(resource_type, "_id")
    }

    /// What the server says it cannot export, of the types and `Type?query` filters given (A07). Each entry is a sentence.
    pub fn not_supported(&self, types: &[String], type_filters: &[String]) -> Vec<String> {
        let Some(known) = &self.types else { return Vec::new() };
        let mut found = Vec::new();
        for name in types.iter().filter(|name| known.get(*name).is_some_and(|t| t.export_not_supported)) {
            found.push(format!("The server says that it cannot export {name}."));
        }
        for filter in type_filters {
            let Some((name, query)) = filter.split_once('?') else { continue };
            let Some(entry) = known.get(name) else { continue };
            for pair in query.split('&') {
                let param = pair.split(['=', ':', '.']).next().unwrap_or_default();
                if entry.not_in_export.contains(param) {
                    found.push(format!(
                        "The server says that it cannot filter {name} by '{param}' in an export; '{filter}' may be \
                         refused or ignored."
                    ));
                }
            }
        }
        found
    }
}

/// The items of an array, or the value itself where a server forgot the brackets.
fn items(value: &Value) -> impl Iterator<Item = &Value> {
    let (list, one) = match value {
        Value::Array(list) => (list.as_slice(), None),
        Value::Null => (&[][..], None),
        one => (&[][..], Some(one)),
    };
    list.iter().chain(one)
}

fn names(params: &Value) -> impl Iterator<Item = String> {
    items(params).filter_map(|param| param["name"].as_str().map(str::to_owned))
}

/// The version after `|` of a canonical of the Bulk Data IG. Vendors' own definitions carry versions that mean other things.
fn ig_version(canonical: &str) -> Option<Stu> {
    let (url, version) = canonical.split_once('|')?;
    url.contains("/uv/bulkdata/").then(|| Stu::parse(version)).flatten()
}

fn is_not_supported(element: &Value) -> bool {
    items(&element["extension"]).filter_map(|extension| extension["url"].as_str()).any(|url| {
        // The IG writes both (A07).
        url.ends_with("/Extension/operation-not-supported")
            || url.ends_with("/StructureDefinition/operation-not-supported")
    })
}

fn vendor(value: &Value) -> Vendor {
    let publisher = value["publisher"].as_str().unwrap_or_default().trim();
    let software = value["software"]["name"].as_str().unwrap_or_default().trim();
    if software.eq_ignore_ascii_case("Epic") {
        Vendor::Epic
    } else if publisher.eq_ignore_ascii_case("Cerner") || publisher.eq_ignore_ascii_case("Oracle Health") {
        Vendor::Oracle
    } else {
        Vendor::Other
    }
}
