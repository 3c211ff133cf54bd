//! The little FHIR that is read: bundles, capability, outcomes, instants, resource types.

pub mod bundle;
pub mod capability;
pub mod instant;
pub mod metadata;
pub mod outcome;
pub mod resource_type;
