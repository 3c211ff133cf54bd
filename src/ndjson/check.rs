//! What a file holds: counts by type, bad lines, issues, deletions.

use super::json::{Lines, Validator};
use super::records;
use crate::platform::transfer::{BadLine, Content, FileFacts, Issue};

/// Bad lines and issues that are kept; the others are only counted.
const KEPT: usize = 20;

/// Types that are counted by name. FHIR has 150 or so; more come only from a server that means harm.
const MAX_TYPES: usize = 1000;

/// Name under which types beyond [`MAX_TYPES`] are counted.
const OTHER_TYPES: &str = "Other";

/// What a file is checked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expect<'a> {
    /// What the file should hold.
    pub content: Content,
    /// The type that the manifest gives, for [`Content::Resources`].
    pub resource_type: Option<&'a str>,
    /// Whether to look for resources tagged `SUBSETTED` (H11).
    pub subsetted: bool,
}

/// Checks decoded bytes and gathers [`FileFacts`].
#[derive(Debug)]
pub(super) struct Checker {
    validator: Option<Validator>,
    tally: Tally,
}

/// What the validator's findings add up to.
#[derive(Debug)]
pub(super) struct Tally {
    facts: FileFacts,
    /// Resources of the type that is expected: kept apart, since nearly all are.
    expected: u64,
    expected_type: String,
    content: Content,
    subsetted: bool,
    markup: bool,
}

impl Checker {
    pub(super) fn new(expect: &Expect<'_>) -> Self {
        Self { validator: (expect.content != Content::Opaque).then(Validator::new), tally: Tally::new(expect) }
    }

    /// Checks the next decoded bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.tally.decoded(bytes.len());
        if let Some(validator) = &mut self.validator {
            validator.feed(bytes, &mut self.tally);
        }
    }

    /// Ends the file. False if it is torn in its last line.
    pub(super) fn finish(&mut self) -> bool {
        self.validator.as_mut().is_none_or(|validator| validator.finish(&mut self.tally))
    }

    /// Whether the first line that is not blank starts with `<`.
    pub(super) fn is_markup(&self) -> bool {
        self.tally.markup
    }

    /// Resources so far.
    pub(super) fn resources(&self) -> u64 {
        self.tally.facts.resources
    }

    /// Number of the line that was reached.
    pub(super) fn line(&self) -> u64 {
        self.validator.as_ref().map_or(0, Validator::line)
    }

    /// What was found.
    pub(super) fn into_facts(self) -> FileFacts {
        self.tally.into_facts()
    }
}

fn is_error(issue: &Issue) -> bool {
    matches!(issue.severity.as_str(), "fatal" | "error")
}

impl Tally {
    pub(super) fn new(expect: &Expect<'_>) -> Self {
        let expected_type = match expect.content {
            Content::Outcomes => "OperationOutcome",
            Content::Deletions => "Bundle",
            _ => expect.resource_type.unwrap_or_default(),
        };
        Self {
            facts: FileFacts::default(),
            expected: 0,
            expected_type: expected_type.to_owned(),
            content: expect.content,
            subsetted: expect.subsetted,
            markup: false,
        }
    }

    /// Counts decoded bytes.
    pub(super) fn decoded(&mut self, bytes: usize) {
        self.facts.decoded += bytes as u64;
    }

    /// Resources so far.
    pub(super) fn resources(&self) -> u64 {
        self.facts.resources
    }

    /// Whether the first line that is not blank starts with `<`: a web page in place of data.
    pub(super) fn is_markup(&self) -> bool {
        self.markup
    }

    /// What was found.
    pub(super) fn into_facts(self) -> FileFacts {
        let Self { mut facts, expected, expected_type, .. } = self;
        if expected > 0 {
            *facts.types.entry(expected_type).or_default() += expected;
        }
        let (errors, others): (Vec<_>, Vec<_>) = std::mem::take(&mut facts.issues).into_iter().partition(is_error);
        facts.issues = errors;
        facts.issues.extend(others);
        facts
    }

    fn count_type(&mut self, kind: &str) {
        let types = &mut self.facts.types;
        if let Some(count) = types.get_mut(kind) {
            *count += 1;
        } else {
            let name = if types.len() < MAX_TYPES { kind } else { OTHER_TYPES };
            *types.entry(name.to_owned()).or_default() += 1;
        }
    }

    fn outcome(&mut self, text: Option<&[u8]>) {
        for issue in records::issues(text) {
            *self.facts.severities.entry(issue.severity.clone()).or_default() += 1;
            let issues = &mut self.facts.issues;
            if issues.len() < KEPT {
                issues.push(issue);
            } else if is_error(&issue)
                && let Some(lesser) = issues.iter().rposition(|kept| !is_error(kept))
            {
                issues.remove(lesser);
                issues.push(issue);
            }
        }
    }
}

impl Lines for Tally {
    fn resource(&mut self, kind: &str, text: Option<&[u8]>) {
        self.facts.resources += 1;
        if kind == self.expected_type {
            self.expected += 1;
        } else {
            self.count_type(kind);
        }
        if kind == "OperationOutcome" {
            self.outcome(text);
        } else if self.content == Content::Deletions && kind == "Bundle" {
            let (proper, odd) = records::deletions(text);
            self.facts.deletions += proper;
            self.facts.odd_deletions += odd;
        }
        if self.subsetted && records::is_subsetted(text) {
            self.facts.subsetted += 1;
        }
    }

    fn bad(&mut self, line: u64, first: u8, reason: String) {
        let facts = &mut self.facts;
        self.markup |= facts.resources == 0 && first == b'<';
        facts.resources += 1;
        facts.bad_lines += 1;
        if facts.bad.len() < KEPT {
            facts.bad.push(BadLine { line, reason });
        }
    }
}
