//! The little FHIR that is read: capability, outcomes, instants, resource types.
