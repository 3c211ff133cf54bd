//! FHIR `date`, `dateTime` and `instant`, and the other forms of time that servers and folders use.

use chrono::{Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};

/// How much of a time was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precision {
    /// `2020`
    Year,
    /// `2020-05`
    Month,
    /// `2020-05-06`
    Day,
    /// `2020-05-06T07:08Z`: not FHIR, but clear.
    Minute,
    /// Down to the second or finer.
    Second,
}

/// A `date`, `dateTime` or `instant` (FHIR R4 §2.24), split into what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FhirTime {
    /// Local date and time; what was not given is the earliest possible.
    pub local: NaiveDateTime,
    /// Minutes east of UTC, where a zone was given.
    pub offset: Option<i32>,
    /// How much was given.
    pub precision: Precision,
}

/// Which end of a day, month or year a text without a time stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Its first instant: for `_since`.
    Start,
    /// Its last millisecond: for `_until`.
    End,
}

impl FhirTime {
    /// Reads a `date`, `dateTime` or `instant`. A leap second (`:60`) counts as `:59`. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if !text.is_ascii() {
            return None;
        }
        let (date, time) = text.split_once(['T', 't']).map_or((text, None), |(date, time)| (date, Some(time)));
        let mut parts = date.split('-');
        let year = digits(parts.next()?, 4)?;
        let month = parts.next().map(|t| digits(t, 2));
        let day = parts.next().map(|t| digits(t, 2));
        if parts.next().is_some() {
            return None;
        }
        let (month, day, mut precision) = match (month, day) {
            (None, _) => (1, 1, Precision::Year),
            (Some(month), None) => (month?, 1, Precision::Month),
            (Some(month), Some(day)) => (month?, day?, Precision::Day),
        };
        let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
        let (mut clock, mut offset) = (NaiveTime::MIN, None);
        if let Some(time) = time {
            if precision != Precision::Day {
                return None;
            }
            let zone = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
            (clock, precision) = read_clock(&time[..zone])?;
            if zone < time.len() {
                offset = Some(read_zone(&time[zone..])?);
            }
        }
        Some(Self { local: date.and_time(clock), offset, precision })
    }

    /// Whether it is a FHIR `instant`: seconds and a zone.
    pub fn is_instant(&self) -> bool {
        self.precision == Precision::Second && self.offset.is_some()
    }

    /// Milliseconds since the epoch, with `offset` (minutes east) where no zone was given.
    pub fn millis(&self, offset: i32) -> i64 {
        self.local.and_utc().timestamp_millis() - i64::from(self.offset.unwrap_or(offset)) * 60_000
    }
}

/// What goes on the wire for `_since` and `_until` (conformance I04, DESIGN §6): an instant is kept verbatim (I01), anything
/// coarser is widened to an instant in the local zone, given by its offset in minutes at a time in milliseconds.
/// `None` if `text` is no date.
pub fn widen(text: &str, edge: Edge, zone: impl Fn(i64) -> i32) -> Option<String> {
    let text = text.trim();
    let time = FhirTime::parse(text)?;
    if time.is_instant() {
        return Some(text.to_owned());
    }
    let next = match time.precision {
        Precision::Year => time.local.checked_add_months(Months::new(12))?,
        Precision::Month => time.local.checked_add_months(Months::new(1))?,
        Precision::Day => time.local.checked_add_days(Days::new(1))?,
        Precision::Minute => time.local + TimeDelta::minutes(1),
        Precision::Second => time.local + TimeDelta::milliseconds(1),
    };
    let local = match edge {
        Edge::Start => time.local,
        Edge::End => next - TimeDelta::milliseconds(1),
    };
    let offset = time.offset.unwrap_or_else(|| {
        // The zone's offset depends on the instant, which depends on the offset: the second look is right but in the
        // hour in which clocks change.
        let guess = local.and_utc().timestamp_millis();
        zone(guess - i64::from(zone(guess)) * 60_000)
    });
    let millis = local.nanosecond() / 1_000_000;
    let fraction = if millis == 0 { String::new() } else { format!(".{millis:03}") };
    Some(format!("{}{fraction}{}", seconds_text(&local), zone_text(offset)))
}

/// `2026-11-21T09:56:32.071000+00:00`: how `.metadata` and `log.ndjson` write times, the same as Python's `isoformat` (six
/// digits of fraction, none when zero; a numeric offset). `offset` is in minutes east.
pub fn iso(millis: i64, offset: i32) -> String {
    let local = chrono::DateTime::from_timestamp_millis(millis.saturating_add(i64::from(offset) * 60_000));
    local.map_or_else(String::new, |local| iso_naive(local.naive_utc(), offset))
}

/// A server's time in the form that `done` has in `.metadata`: parts not given are the first, a missing zone is +14:00 (the
/// earliest that it can mean, so that nothing is missed). `None` if `text` is no time.
pub fn iso_of(text: &str) -> Option<String> {
    let time = FhirTime::parse(text)?;
    Some(iso_naive(time.local, time.offset.unwrap_or(14 * 60)))
}

/// Whether one time is before another; without a zone it is taken for the earliest that it can mean, and what is no time is
/// before all others.
pub fn is_before(one: &str, other: &str) -> bool {
    let moment =
        |text: &str| FhirTime::parse(text).map(|time| (time.millis(14 * 60), time.local.nanosecond() % 1_000_000));
    moment(one) < moment(other)
}

fn iso_naive(local: NaiveDateTime, offset: i32) -> String {
    let micros = local.nanosecond() / 1_000;
    let fraction = if micros == 0 { String::new() } else { format!(".{micros:06}") };
    format!("{}{fraction}{}", seconds_text(&local), zone_text(offset))
}

/// `2026-11-21T09:56:32`. By hand: chrono's formatter is 20 KB of wasm.
fn seconds_text(t: &NaiveDateTime) -> String {
    let (year, month, day) = (t.year(), t.month(), t.day());
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", t.hour(), t.minute(), t.second())
}

/// Reads an HTTP date in any of the three forms of RFC 9110 §5.6.7; milliseconds since the epoch.
pub fn http_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    // `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`, `Sun Nov  6 08:49:37 1994`: the weekday is not checked.
    let (_, rest) = text.trim().split_once(' ')?;
    let words: Vec<&str> = rest.split([' ', '-']).filter(|word| !word.is_empty()).collect();
    let ([day, month, year, time, "GMT" | "UTC" | "+0000"] | [month, day, time, year]) = words[..] else {
        return None;
    };
    let month = MONTHS.iter().position(|known| known.eq_ignore_ascii_case(month))?;
    let year: i32 = match (year.len(), year.parse().ok()?) {
        (2, year @ 0..70) => 2000 + year,
        (2, year) => 1900 + year,
        (4, year) => year,
        _ => return None,
    };
    let date = NaiveDate::from_ymd_opt(year, u32::try_from(month).ok()? + 1, day.parse().ok()?)?;
    let (clock, _) = read_clock(time)?;
    Some(date.and_time(clock).and_utc().timestamp_millis())
}

fn zone_text(offset: i32) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", offset.abs() / 60, offset.abs() % 60)
}

fn digits(text: &str, length: usize) -> Option<u32> {
    (text.len() == length && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn read_clock(text: &str) -> Option<(NaiveTime, Precision)> {
    let mut parts = text.split(':');
    let hour = digits(parts.next()?, 2)?;
    let minute = digits(parts.next()?, 2)?;
    let Some(seconds) = parts.next() else {
        return Some((NaiveTime::from_hms_opt(hour, minute, 0)?, Precision::Minute));
    };
    if parts.next().is_some() {
        return None;
    }
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let second = match digits(whole, 2)? {
        60 => 59,
        second => second,
    };
    let nanos: u32 = format!("{fraction:0<9.9}").parse().ok()?;
    Some((NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)?, Precision::Second))
}

/// `Z` or `±hh:mm`, in minutes east.
fn read_zone(text: &str) -> Option<i32> {
    if text.eq_ignore_ascii_case("Z") {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    let total = i32::try_from(hours * 60 + minutes).ok()?;
    (hours <= 14 && minutes < 60).then_some(sign * total)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_fhir_allows_and_nothing_else() {
        for text in ["2020", "2020-05", "2020-05-06", "2020-05-06T07:08:09Z", "2020-02-29T23:59:60.5+05:30"] {
            assert!(FhirTime::parse(text).is_some(), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "20200506",
            "2020-13",
            "2021-02-29",
            "2020-05-06T25:00:00Z",
            "2020-05-06T07:08:09+5",
            "2020T07:08:09Z",
            "2020-05-06T07:08:09.Z",
            "2020-05-06-07",
            "２０２０",
        ] {
            assert!(FhirTime::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn widens_in_the_local_zone_of_that_day() {
        // New York: -4 h from 8 March to 1 November 2026.
        let new_york = |millis: i64| if (1_772_953_200_000..1_793_512_800_000).contains(&millis) { -240 } else { -300 };
        assert_eq!(widen("2026-01-02", Edge::Start, new_york).unwrap(), "2026-01-02T00:00:00-05:00");
        assert_eq!(widen("2026-07-02", Edge::Start, new_york).unwrap(), "2026-07-02T00:00:00-04:00");
        assert_eq!(widen("2026-07", Edge::End, new_york).unwrap(), "2026-07-31T23:59:59.999-04:00");
        assert_eq!(widen("2026-07-02T10:00:00", Edge::Start, new_york).unwrap(), "2026-07-02T10:00:00-04:00");
        assert_eq!(widen("2026-07-02T10:00Z", Edge::Start, new_york).unwrap(), "2026-07-02T10:00:00+00:00");
        assert_eq!(widen("last week", Edge::Start, new_york), None);
    }

    #[test]
    fn an_instant_is_kept_to_the_last_digit() {
        let text = "2026-01-02T03:04:05.123456789+05:30";
        assert_eq!(widen(text, Edge::Start, |_| 0).unwrap(), text);
    }

    #[test]
    fn writes_times_as_the_reference_does() {
        assert_eq!(iso(1_767_323_045_000, -300), "2026-01-01T22:04:05-05:00");
        assert_eq!(iso(1_767_323_045_071, 0), "2026-01-02T03:04:05.071000+00:00");
        assert_eq!(iso_of("2026-01-02T03:04:05.678Z").unwrap(), "2026-01-02T03:04:05.678000+00:00");
        assert_eq!(iso_of("2020-05-06T07:08:09-05:00").unwrap(), "2020-05-06T07:08:09-05:00");
        assert_eq!(iso_of("2020-05").unwrap(), "2020-05-01T00:00:00+14:00");
        assert_eq!(iso_of("2020-05-06T07:08:60Z").unwrap(), "2020-05-06T07:08:59+00:00");
        assert_eq!(iso_of("garbage"), None);
    }
}
