//! What to ask for: types, filters, and since when; and what is new or gone since an earlier export.

pub mod deletions;
pub mod filters;
pub mod ids;
pub mod patients;
pub mod since;

pub use filters::Plan;
