//! Sets of positions in a cohort. A crawl goes through its patients in order, so a set is a few runs, whatever its size.

use std::fmt;

/// A set of positions; written as `0-511,514`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    /// Runs `first..=last`, in order, not touching each other.
    runs: Vec<(u32, u32)>,
}

impl Positions {
    /// Reads what [`fmt::Display`] writes; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut set = Self::default();
        for run in text.split(',').filter(|run| !run.is_empty()) {
            let (first, last) = run.split_once('-').unwrap_or((run, run));
            let (first, last) = (first.parse().ok()?, last.parse().ok()?);
            let in_order = set.runs.last().is_none_or(|&(_, before)| before < first);
            if first > last || !in_order {
                return None;
            }
            set.runs.push((first, last));
        }
        Some(set)
    }

    /// The number of the run that holds `position`, or where one with it would go.
    fn find(&self, position: u32) -> Result<usize, usize> {
        self.runs.binary_search_by(|&(first, last)| match () {
            () if last < position => std::cmp::Ordering::Less,
            () if first > position => std::cmp::Ordering::Greater,
            () => std::cmp::Ordering::Equal,
        })
    }

    /// Whether `position` is in the set.
    pub fn contains(&self, position: u32) -> bool {
        self.find(position).is_ok()
    }

    /// Adds a position.
    pub fn insert(&mut self, position: u32) {
        let Err(at) = self.find(position) else { return };
        let follows = at > 0 && self.runs[at - 1].1 + 1 == position;
        let leads = self.runs.get(at).is_some_and(|&(first, _)| position + 1 == first);
        match (follows, leads) {
            (true, true) => {
                self.runs[at - 1].1 = self.runs[at].1;
                self.runs.remove(at);
            }
            (true, false) => self.runs[at - 1].1 = position,
            (false, true) => self.runs[at].0 = position,
            (false, false) => self.runs.insert(at, (position, position)),
        }
    }

    /// Removes a position.
    pub fn remove(&mut self, position: u32) {
        let Ok(at) = self.find(position) else { return };
        let (first, last) = self.runs.remove(at);
        if position < last {
            self.runs.insert(at, (position + 1, last));
        }
        if first < position {
            self.runs.insert(at, (first, position - 1));
        }
    }

    /// All positions, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.runs.iter().flat_map(|&(first, last)| first..=last)
    }

    /// How many positions there are.
    pub fn len(&self) -> u64 {
        self.runs.iter().map(|&(first, last)| u64::from(last - first) + 1).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.runs.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn is_the_set_that_it_should_be_after_any_changes() {
        let (mut ours, mut plain) = (Positions::default(), BTreeSet::new());
        let mut seed = 7_u32;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let position = (seed >> 16) % 60;
            if seed & 0x400 == 0 {
                ours.insert(position);
                plain.insert(position);
            } else {
                ours.remove(position);
                plain.remove(&position);
            }
            assert_eq!(ours.len(), plain.len() as u64);
            assert_eq!((0..60).filter(|p| ours.contains(*p)).collect::<BTreeSet<_>>(), plain);
            assert_eq!(Positions::parse(&ours.to_string()).unwrap(), ours);
        }
    }

    #[test]
    fn is_small_for_a_crawl_of_any_size() {
        let mut done = Positions::default();
        for position in (0..100_000).filter(|p| p % 25_000 != 7) {
            done.insert(position);
        }
        assert_eq!(done.to_string(), "0-6,8-25006,25008-50006,50008-75006,75008-99999");
    }

    #[test]
    fn refuses_what_it_did_not_write() {
        for text in ["x", "5-3", "3,2", "1-4,4", "-", "1-", "99999999999"] {
            assert_eq!(Positions::parse(text), None, "{text}");
        }
        assert!(Positions::parse("").unwrap().is_empty());
    }
}
