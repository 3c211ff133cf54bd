//! The little FHIR that is read: capability, outcomes, instants, resource types.

pub mod capability;
pub mod instant;
pub mod metadata;
pub mod outcome;
pub mod resource_type;
