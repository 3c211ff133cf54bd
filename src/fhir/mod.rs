//! The little FHIR that is read: bundles, capability, outcomes, instants, resource types, and the raw text of resources.

pub mod bundle;
pub mod capability;
pub mod instant;
pub mod metadata;
pub mod outcome;
pub mod raw;
pub mod reference;
pub mod resource_type;
pub mod walk;
