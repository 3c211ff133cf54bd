//! Years of a managed folder made up from a seed: bulk exports and crawls, increments and whole ones, in which files and patients
//! fail, programs are killed and data change meanwhile. Whatever the order: once an export is complete, nothing that the server
//! has is missing or out of date in what the folder merges to; and after a whole one nothing else is there.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use smart_fetch::config::{ExportConfig, ExportMode};
use smart_fetch::fhir::instant;
use smart_fetch::job;

use crate::ehr::*;
use crate::hostile::merged;

/// What it says where nothing was exported, or nobody is there.
const NOTHING: [&str; 2] = ["Could not detect a since value", "No cohort patients"];
const DAY: i64 = 86_400_000;

struct Dice(u64);

impl Dice {
    /// A number below `n`.
    fn roll(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.roll(n) == 0
    }
}

/// Some changes of the data, now.
fn change(data: &mut Data, dice: &mut Dice, version: &mut u64) {
    for _ in 0..1 + dice.roll(4) {
        *version += 1;
        let patient = format!("p{}", dice.roll(6));
        let kind = ["Condition", "Encounter"][dice.roll(2) as usize];
        let name = format!("{kind}/{}{}", kind.as_bytes()[1] as char, dice.roll(12));
        let of = json!({"subject": {"reference": format!("Patient/{patient}")}, "v": *version});
        let has_patient = data.resources.contains_key(&format!("Patient/{patient}"));
        let gone = |data: &mut Data, name: &str| {
            if data.resources.remove(name).is_some() {
                let now = data.now.clone();
                data.deleted.push((name.to_owned(), now));
            }
        };
        match dice.roll(8) {
            0 | 1 => data.put(&format!("Patient/{patient}"), json!({"v": *version})),
            2 if has_patient => {
                let its =
                    |(resource, _): &(Value, String)| resource["subject"]["reference"] == format!("Patient/{patient}");
                let all: Vec<String> =
                    data.resources.iter().filter(|(_, r)| its(r)).map(|(name, _)| name.clone()).collect();
                all.iter().for_each(|name| gone(data, name));
                gone(data, &format!("Patient/{patient}"));
            }
            3 => gone(data, &name),
            _ if has_patient && !data.resources.contains_key(&name) => data.put(&name, of),
            _ => {
                // What is there changes, and stays with its patient.
                if let Some(subject) = data.resources.get(&name).map(|(resource, _)| resource["subject"].clone()) {
                    data.put(&name, json!({"subject": subject, "v": *version}));
                }
            }
        }
    }
}

/// A year from `seed`; what was done is in the text, for messages.
fn year(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 1);
    let (mut version, mut told) = (0, format!("seed {seed}"));
    let ehr = Ehr::new();
    let mut host = ehr.host();
    let start = host.clock_millis();
    ehr.at(&instant::iso(start - DAY, 0).replace("+00:00", "Z"));
    for patient in 0..3 {
        ehr.put(&format!("Patient/p{patient}"), json!({}));
    }
    for step in 1..=10_u64 {
        host.clock.set_millis(start + DAY * step as i64);
        ehr.at(&instant::iso(start + DAY * step as i64 - 3_600_000, 0).replace("+00:00", "Z"));
        change(&mut ehr.0.borrow_mut(), &mut dice, &mut version);
        ehr.at(&instant::iso(start + DAY * step as i64, 0).replace("+00:00", "Z"));
        let types =
            ["Patient,Condition", "Patient,Condition,Encounter", "Patient,Condition,Encounter"][dice.roll(3) as usize];
        let mode = if dice.one_in(2) { ExportMode::Crawl } else { ExportMode::Bulk };
        let is_auto = step > 1 && !dice.one_in(4);
        let base = if is_auto { auto(types) } else { config(types) };
        let mut config = ExportConfig { mode, ..named(base, &format!("s{step}")) };
        config.reconcile = dice.one_in(3);
        let meanwhile = mode == ExportMode::Bulk && dice.one_in(4);
        if meanwhile {
            let (mut own, later) = (Dice(dice.roll(1 << 30)), instant::iso(start + DAY * step as i64 + 2_000, 0));
            let mut number = 1_000 * step;
            ehr.0.borrow_mut().meanwhile = Some(Box::new(move |data| {
                data.now = later.replace("+00:00", "Z");
                change(data, &mut own, &mut number);
            }));
        }
        match dice.roll(5) {
            0 => ehr.0.borrow_mut().broken = vec![format!("p{}", dice.roll(6))],
            1 => {
                ehr.0.borrow_mut().broken = vec![["Condition.", "Encounter.", "Patient."][dice.roll(3) as usize].into()]
            }
            _ => {}
        }
        if dice.one_in(4) {
            host.storage.kill_at(1 + dice.roll(150));
        }
        told += &format!(
            "\n{step}: {types} {mode:?} auto {is_auto} meanwhile {meanwhile} reconcile {} broken {:?}",
            config.reconcile,
            ehr.0.borrow().broken
        );
        let mut result = host.run_until_killed(job::export(&host, &config, std::future::pending()));
        if result.is_none() {
            told += " killed";
        }
        host = host.restarted();
        if !matches!(&result, Some(Ok(report)) if report.exit_status == 0) {
            told += &format!(
                " -> {:?}",
                result.as_ref().map(|r| r.as_ref().map(|r| r.exit_status).map_err(|e| e.message.clone()))
            );
            ehr.0.borrow_mut().broken.clear();
            if dice.one_in(3) {
                told += " left";
                ehr.0.borrow_mut().meanwhile = None;
                continue;
            }
            result = Some(export(&host, &config));
            if matches!(&result, Some(Ok(report)) if report.exit_status == 3) {
                // Killed while a file was given its name, it was only given that.
                result = Some(export(&host, &config));
            }
        }
        ehr.0.borrow_mut().broken.clear();
        let changed = meanwhile && ehr.0.borrow().meanwhile.is_none();
        ehr.0.borrow_mut().meanwhile = None;
        match result.unwrap() {
            Err(error) if NOTHING.iter().any(|words| error.message.starts_with(words)) => {
                told += " nothing to go on from"
            }
            Err(error) => panic!("{told}\n{error}"),
            Ok(report) => {
                assert_eq!(report.exit_status, 0, "{told}\n{report:?}");
                if changed && !config.reconcile {
                    continue;
                }
                let names: Vec<&str> = types.split(',').collect();
                let (has, due) = (merged(&host), ehr.state(&names));
                let missing: Vec<_> = due.iter().filter(|(name, resource)| has.get(*name) != Some(resource)).collect();
                assert!(missing.is_empty(), "{told}\nmissing or old: {missing:?}\n{:#?}", host.storage.paths());
                if !is_auto {
                    let of_types = |(name, _): &(&String, &Value)| names.contains(&name.split('/').next().unwrap());
                    let here: BTreeMap<_, _> = has.iter().filter(of_types).collect();
                    assert_eq!(here, due.iter().collect(), "{told}");
                }
            }
        }
    }
}

#[test]
fn after_any_year_nothing_is_missing() {
    let years = std::env::var("YEARS").ok().and_then(|years| years.parse().ok()).unwrap_or(10);
    let first = std::env::var("FIRST").ok().and_then(|first| first.parse().ok()).unwrap_or(0);
    (first..first + years).for_each(year);
}
