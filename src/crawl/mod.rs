//! Crawls: what `$export` would give, got by searches patient by patient.
//!
//! | module | what it is for |
//! |---|---|
//! | [`cohort`] | which patients: lists of ids, Patient files |
//! | [`plan`] | which searches: URLs by type, patient, filter and since |
//! | [`page`] | one page of a search, read without copying it |
//! | [`chain`] | all pages of all searches of one patient and type |
//! | [`scope`] | whether searches are answered for the patient they name |
//! | [`watermark`] | to which time a crawl is complete |
//! | [`positions`] | sets of patients, small however many they are |
//! | [`state`] | the ledger: what is here of each type, and who is missing |
//! | [`fetch`] | one type, patient by patient, into its file |

pub mod chain;
pub mod cohort;
pub mod fetch;
pub mod page;
pub mod plan;
pub mod positions;
pub mod scope;
pub mod state;
pub(crate) mod type_file;
pub mod watermark;
