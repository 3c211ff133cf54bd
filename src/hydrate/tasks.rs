//! The table of hydration tasks: which references of which type are followed to what.

use crate::{Error, Result};

/// How a task gets what it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reads what references point at.
    References,
    /// Searches `PractitionerRole?practitioner=` for each Practitioner: where nothing refers to roles, they are found so.
    Search,
    /// Puts attachments into the resources that point at them.
    Inline,
}

/// One hydration task.
#[derive(Debug, PartialEq, Eq)]
pub struct Task {
    /// Its group, as users name it.
    pub group: &'static str,
    /// Its own name.
    pub name: &'static str,
    /// The type that it reads.
    pub input: &'static str,
    /// The type that it writes.
    pub output: &'static str,
    /// Elements of type Reference; repeating ones are gone through.
    pub paths: &'static [&'static str],
    /// How.
    pub kind: Kind,
}

impl Task {
    /// The name of the file that it appends to, without its ending.
    pub fn stem(&self) -> String {
        let slug = match self.name {
            "dxr-results" => "results",
            "obs-members" => "members",
            "pract-practrole" => "searched",
            _ => "referenced",
        };
        format!("{}.{slug}", self.output)
    }

    /// Whether what it brings is looked through in turn.
    pub fn is_recursive(&self) -> bool {
        self.kind == Kind::References && self.input == self.output
    }
}

/// The groups, in the order in which they run: later ones read what earlier ones bring.
pub const GROUPS: [&str; 8] =
    ["episodeofcare", "inline", "medication", "observation", "specimen", "practitioner", "location", "organization"];

macro_rules! tasks {
    ($($group:literal: { $($name:literal $input:ident [$($path:literal),*] -> $output:ident $(by $kind:ident)?;)* })*) => {
        &[$($(Task {
            group: $group,
            name: $name,
            input: stringify!($input),
            output: stringify!($output),
            paths: &[$($path),*],
            kind: tasks!(@ $($kind)?),
        },)*)*]
    };
    (@) => { Kind::References };
    (@ $kind:ident) => { Kind::$kind };
}

/// All tasks, in the order in which they run.
pub static TASKS: &[Task] = tasks! {
    "episodeofcare": {
        "docref-epofcare" DocumentReference ["context.encounter"] -> EpisodeOfCare;
        "enc-epofcare" Encounter ["episodeOfCare"] -> EpisodeOfCare;
        "meddisp-epofcare" MedicationDispense ["context"] -> EpisodeOfCare;
    }
    "inline": {
        "doc-inline" DocumentReference ["content.attachment"] -> DocumentReference by Inline;
        "dxr-inline" DiagnosticReport ["presentedForm"] -> DiagnosticReport by Inline;
    }
    "medication": {
        "meddisp-med" MedicationDispense ["medicationReference"] -> Medication;
        "medreq-med" MedicationRequest ["medicationReference"] -> Medication;
    }
    "observation": {
        "dxr-results" DiagnosticReport ["result"] -> Observation;
        "obs-members" Observation ["hasMember"] -> Observation;
    }
    "specimen": {
        "dxr-spec" DiagnosticReport ["specimen"] -> Specimen;
        "obs-spec" Observation ["specimen"] -> Specimen;
        "servreq-spec" ServiceRequest ["specimen"] -> Specimen;
    }
    "practitioner": {
        "allergy-pract" AllergyIntolerance ["recorder", "asserter"] -> Practitioner;
        "allergy-practrole" AllergyIntolerance ["recorder", "asserter"] -> PractitionerRole;
        "cond-pract" Condition ["recorder", "asserter"] -> Practitioner;
        "cond-practrole" Condition ["recorder", "asserter"] -> PractitionerRole;
        "dxr-pract" DiagnosticReport ["performer", "resultsInterpreter"] -> Practitioner;
        "dxr-practrole" DiagnosticReport ["performer", "resultsInterpreter"] -> PractitionerRole;
        "doc-pract" DocumentReference ["subject", "author", "authenticator"] -> Practitioner;
        "doc-practrole" DocumentReference ["subject", "author", "authenticator"] -> PractitionerRole;
        "enc-pract" Encounter ["participant.individual"] -> Practitioner;
        "enc-practrole" Encounter ["participant.individual"] -> PractitionerRole;
        "epofcare-pract" EpisodeOfCare ["careManager"] -> Practitioner;
        "epofcare-practrole" EpisodeOfCare ["careManager"] -> PractitionerRole;
        "imm-pract" Immunization ["performer.actor"] -> Practitioner;
        "imm-practrole" Immunization ["performer.actor"] -> PractitionerRole;
        "meddisp-pract" MedicationDispense ["performer.actor", "receiver", "substitution.responsibleParty"] -> Practitioner;
        "meddisp-practrole" MedicationDispense ["performer.actor", "substitution.responsibleParty"] -> PractitionerRole;
        "medreq-pract" MedicationRequest ["reportedReference", "requester", "performer", "recorder"] -> Practitioner;
        "medreq-practrole" MedicationRequest ["reportedReference", "requester", "performer", "recorder"] -> PractitionerRole;
        "obs-pract" Observation ["performer"] -> Practitioner;
        "obs-practrole" Observation ["performer"] -> PractitionerRole;
        "pat-pract" Patient ["generalPractitioner"] -> Practitioner;
        "pat-practrole" Patient ["generalPractitioner"] -> PractitionerRole;
        "procedure-pract" Procedure ["recorder", "asserter", "performer.actor"] -> Practitioner;
        "procedure-practrole" Procedure ["recorder", "asserter", "performer.actor"] -> PractitionerRole;
        "servreq-pract" ServiceRequest ["requester", "performer"] -> Practitioner;
        "servreq-practrole" ServiceRequest ["requester", "performer"] -> PractitionerRole;
        "spec-pract" Specimen ["collection.collector"] -> Practitioner;
        "spec-practrole" Specimen ["collection.collector"] -> PractitionerRole;
        "pract-practrole" Practitioner [] -> PractitionerRole by Search;
        "practrole-pract" PractitionerRole ["practitioner"] -> Practitioner;
    }
    "location": {
        "dev-loc" Device ["location"] -> Location;
        "dxr-loc" DiagnosticReport ["subject"] -> Location;
        "enc-loc" Encounter ["hospitalization.origin", "hospitalization.destination", "location.location"] -> Location;
        "imm-loc" Immunization ["location"] -> Location;
        "meddisp-loc" MedicationDispense ["location", "destination"] -> Location;
        "obs-loc" Observation ["subject"] -> Location;
        "practrole-loc" PractitionerRole ["location"] -> Location;
        "proc-loc" Procedure ["location"] -> Location;
        "servreq-loc" ServiceRequest ["subject", "locationReference"] -> Location;
        "spec-loc" Specimen ["subject"] -> Location;
        "loc-loc" Location ["partOf"] -> Location;
    }
    "organization": {
        "dev-org" Device ["owner"] -> Organization;
        "dxr-org" DiagnosticReport ["performer", "resultsInterpreter"] -> Organization;
        "doc-org" DocumentReference ["author", "authenticator", "custodian"] -> Organization;
        "enc-org" Encounter ["hospitalization.origin", "hospitalization.destination", "serviceProvider"] -> Organization;
        "epofcare-org" EpisodeOfCare ["managingOrganization"] -> Organization;
        "imm-org" Immunization ["manufacturer", "performer.actor", "protocolApplied.authority"] -> Organization;
        "loc-org" Location ["managingOrganization"] -> Organization;
        "meddisp-org" MedicationDispense ["performer.actor"] -> Organization;
        "medreq-org" MedicationRequest
            ["reportedReference", "requester", "performer", "dispenseRequest.performer"] -> Organization;
        "obs-org" Observation ["performer"] -> Organization;
        "pat-org" Patient ["contact.organization", "generalPractitioner", "managingOrganization"] -> Organization;
        "pract-org" Practitioner ["qualification.issuer"] -> Organization;
        "practrole-org" PractitionerRole ["organization"] -> Organization;
        "proc-org" Procedure ["performer.actor", "performer.onBehalfOf"] -> Organization;
        "servreq-org" ServiceRequest ["requester", "performer"] -> Organization;
        "org-org" Organization ["partOf"] -> Organization;
    }
};

/// The tasks that users name by their groups: comma lists in any case, `all`, `none`; nothing named means all.
///
/// # Errors
/// `Usage` for a name that is no group.
pub fn select(names: &[String]) -> Result<Vec<&'static Task>> {
    let names: Vec<String> = names.iter().flat_map(|list| list.split(',')).map(str::to_lowercase).collect();
    let is_given = |name: &str| names.iter().any(|given| given == name);
    if is_given("none") {
        return Ok(Vec::new());
    }
    if names.is_empty() || is_given("all") {
        return Ok(TASKS.iter().collect());
    }
    if let Some(unknown) = names.iter().find(|name| !GROUPS.contains(&name.as_str())) {
        return Err(Error::usage(format!("Unknown hydration task provided: {unknown}"))
            .with_hint(format!("These hydration tasks are supported: all, none, {}.", GROUPS.join(", "))));
    }
    Ok(TASKS.iter().filter(|task| is_given(task.group)).collect())
}

/// The types whose references lead to resources of `output`.
pub fn inputs_of(output: &str) -> impl Iterator<Item = &'static str> {
    TASKS.iter().filter(move |task| task.output == output).map(|task| task.input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_69_tasks_in_8_groups_each_with_its_own_name() {
        assert_eq!(TASKS.len(), 69);
        let mut names: Vec<&str> = TASKS.iter().map(|task| task.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 69);
        let mut groups: Vec<&str> = TASKS.iter().map(|task| task.group).collect();
        groups.dedup();
        assert_eq!(groups, GROUPS);
    }

    #[test]
    fn groups_are_named_in_any_case_and_run_in_the_order_of_the_table() {
        let select = |names: &[&str]| {
            super::select(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
                .map(|tasks| tasks.iter().map(|task| task.name).collect::<Vec<_>>())
        };
        assert_eq!(select(&["Specimen,MEDICATION"]).ok().as_deref().map(<[&str]>::len), Some(5));
        assert_eq!(select(&["medication", "inline"]).ok().unwrap_or_default()[0], "doc-inline");
        assert_eq!(select(&["none,location"]).ok(), Some(Vec::new()));
        assert_eq!(select(&[]).ok().unwrap_or_default().len(), 69);
        assert!(select(&["all,foo"]).is_ok());
        let error = select(&["medication,foo"]).expect_err("there is no such task");
        assert!(error.message.starts_with("Unknown hydration task provided: foo"), "{error}");
    }
}
