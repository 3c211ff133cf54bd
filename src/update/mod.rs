//! What to ask for: types, filters, and since when.

pub mod filters;
pub mod since;

pub use filters::Plan;
