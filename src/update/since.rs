//! `since`: by last update where the server can, by date of creation where it cannot.

use crate::config::SinceMode;
use crate::fhir::capability::Capability;

/// The search parameter that comes closest to the date of creation, per type. Other types come whole each time.
pub const CREATED_FIELDS: [(&str, &str); 7] = [
    ("AllergyIntolerance", "date"),
    ("Condition", "recorded-date"),
    ("DiagnosticReport", "issued"),
    ("DocumentReference", "date"),
    ("MedicationRequest", "authoredon"),
    ("Observation", "issued"),
    ("ServiceRequest", "authored"),
];

/// The field for a type, if the server can search by it.
pub fn created_field(capability: &Capability, resource_type: &str) -> Option<&'static str> {
    let (_, field) = CREATED_FIELDS.iter().find(|(known, _)| *known == resource_type)?;
    (capability.searches(resource_type, field)).then_some(field)
}

/// The mode that `auto` means on this server: Patient searchable by `_lastUpdated` stands for all types.
pub fn resolve(mode: SinceMode, capability: &Capability) -> SinceMode {
    match mode {
        SinceMode::Auto if capability.searches("Patient", "_lastUpdated") => SinceMode::Updated,
        SinceMode::Auto => SinceMode::Created,
        mode => mode,
    }
}
