//! To which time a crawl of a type is complete: what `done` in `.metadata` gets, and the next `--since=auto` asks for.
//!
//! There is no server's `transactionTime` in a search, so the reference's careful rule stands in: the newest date that was seen in
//! the type's resources, since the server may be a copy that lags behind; but not later than the start of its crawl, since
//! what changed during it may have been missed. A date in the future is a slip of the pen and ignored.

use crate::fhir::instant::{self, FhirTime};
use crate::fhir::raw::Raw;

/// The date of creation that a type's resources have, as the reference reads it.
const CREATED: [(&str, &str); 8] = [
    ("AllergyIntolerance", "recordedDate"),
    ("Condition", "recordedDate"),
    ("DiagnosticReport", "issued"),
    ("DocumentReference", "date"),
    ("Immunization", "recorded"),
    ("MedicationRequest", "authoredOn"),
    ("Observation", "issued"),
    ("ServiceRequest", "authoredOn"),
];

/// The element with the date of creation, for types that have one.
pub fn created_element(resource_type: &str) -> Option<&'static str> {
    CREATED.iter().find(|(known, _)| *known == resource_type).map(|(_, element)| *element)
}

/// The newest date seen so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Newest(Option<Seen>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    millis: i64,
    /// As it was sent.
    text: String,
    /// A text that begins with less than this is an earlier date, whatever its zone.
    plainly_older: String,
}

/// Zoneless dates count as the earliest instant that they can mean.
const EARLIEST_ZONE: i32 = 14 * 60;
/// A day, and the zone that is furthest behind: the last instant that a date may mean, from its beginning in UTC.
const LONGEST_DAY_MILLIS: i64 = (24 + 14) * 3_600_000;

impl Seen {
    fn new(text: &str) -> Option<Self> {
        let millis = FhirTime::parse(text)?.millis(EARLIEST_ZONE);
        let day = instant::iso(millis - LONGEST_DAY_MILLIS, 0);
        Some(Self { millis, text: text.to_owned(), plainly_older: day.get(..10).unwrap_or_default().to_owned() })
    }
}

impl Newest {
    /// Goes on from what an earlier run has seen.
    pub fn from_text(text: Option<&str>) -> Self {
        Self(text.and_then(Seen::new))
    }

    /// As it was sent.
    pub fn text(&self) -> Option<&str> {
        self.0.as_ref().map(|seen| seen.text.as_str())
    }

    /// Looks at a JSON value that should be a date. `now` is in milliseconds since the epoch.
    pub fn see(&mut self, value: Raw<'_>, now: i64) {
        // Most dates are plainly older, or the same, and reading them would be most of the work.
        if let Some(seen) = &self.0
            && let [b'"', date @ .., b'"'] = value.bytes()
            && (date < seen.plainly_older.as_bytes() || date == seen.text.as_bytes())
        {
            return;
        }
        let Some(found) = value.text().and_then(|text| Seen::new(&text)) else { return };
        if found.millis <= now && self.0.as_ref().is_none_or(|seen| seen.millis < found.millis) {
            self.0 = Some(found);
        }
    }

    /// Takes over what another one has seen.
    pub fn merge(&mut self, other: Self) {
        if self.0.as_ref().map(|seen| seen.millis) < other.0.as_ref().map(|seen| seen.millis) {
            *self = other;
        }
    }

    /// What `done` gets for a crawl that began at `start`, both as ISO 8601.
    pub fn or_start(&self, start: &str) -> String {
        let began = FhirTime::parse(start).map_or(i64::MAX, |time| time.millis(0));
        match &self.0 {
            Some(seen) if seen.millis < began => instant::iso_of(&seen.text).unwrap_or_else(|| start.to_owned()),
            _ => start.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_767_323_045_000; // 2026-01-02T03:04:05Z
    const START: &str = "2026-01-01T22:04:05-05:00";

    fn done(dates: &[&str]) -> String {
        let mut newest = Newest::default();
        for date in dates {
            newest.see(Raw::new(format!("\"{date}\"").as_bytes()), NOW);
        }
        newest.or_start(START)
    }

    #[test]
    fn the_newest_date_counts_unless_the_crawl_began_before_it() {
        assert_eq!(done(&[]), START);
        assert_eq!(done(&["2025-01-01T00:00:00Z", "2025-06-01T01:00:00.5+02:00"]), "2025-06-01T01:00:00.500000+02:00");
        assert_eq!(done(&["2026-01-02T03:04:05Z"]), START);
        assert_eq!(done(&["2025-06-01", "garbage", ""]), "2025-06-01T00:00:00+14:00");
    }

    #[test]
    fn a_short_cut_changes_nothing() {
        // From 14 hours behind to 14 hours ahead, around the newest one.
        for newest in ["2025-03-04T00:00:00Z", "2025-03-04T23:59:59+14:00", "2025-03-04T05:06:07.5-12:00"] {
            for day in 1..8 {
                for rest in ["", "T00:00:00Z", "T23:59:59.999-14:00", "T00:00:00+14:00", "T12:00:00-12:00"] {
                    let date = format!("2025-03-{day:02}{rest}");
                    let millis = |text: &str| FhirTime::parse(text).map(|time| time.millis(EARLIEST_ZONE));
                    let later = if millis(&date) > millis(newest) { date.as_str() } else { newest };
                    let mut seen = Newest::from_text(Some(newest));
                    seen.see(Raw::new(format!("\"{date}\"").as_bytes()), NOW);
                    assert_eq!(seen.text(), Some(later), "{date} after {newest}");
                }
            }
        }
        assert_eq!(done(&["2025-03-04T05:06:07Z", "2025", "2025-03", "1", "x"]), "2025-03-04T05:06:07+00:00");
        let (one, two) = ("2025-03-04T05:06:07+02:00", "2025-03-04T05:06:08+02:00");
        for dates in [[one, two], [two, one]] {
            assert_eq!(done(&dates), two);
        }
        assert_eq!(done(&["2025-03-04T05:06:07Z", "2025-03-04T05:06:06-01:00"]), "2025-03-04T05:06:06-01:00");
        assert_eq!(done(&["2025-03-04T05:06:07.9Z", "2025-03-04T05:06:07.95Z"]), "2025-03-04T05:06:07.950000+00:00");
    }

    #[test]
    fn a_date_in_the_future_is_ignored() {
        assert_eq!(done(&["2025-06-01T00:00:00Z", "2062-06-01T00:00:00Z"]), "2025-06-01T00:00:00+00:00");
    }

    #[test]
    fn goes_on_from_what_an_earlier_run_has_seen() {
        let mut newest = Newest::from_text(Some("2025-06-01T00:00:00Z"));
        newest.merge(Newest::from_text(Some("2025-05-01")));
        assert_eq!(newest.text(), Some("2025-06-01T00:00:00Z"));
        newest.merge(Newest::from_text(Some("2025-07-01T00:00:00Z")));
        assert_eq!(newest.text(), Some("2025-07-01T00:00:00Z"));
    }
}
