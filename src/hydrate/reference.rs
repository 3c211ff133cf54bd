//! References: which of them lead to a resource of this server, and to which.

/// What a `Reference.reference` leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A resource of this server.
    Here {
        /// Its logical id.
        id: &'a str,
        /// What to read, below the base: `Type/id`, or `Type/id/_history/2`.
        path: &'a str,
    },
    /// A resource of the wanted type on another server, which is not asked: neither for the resource nor with our token.
    Foreign,
    /// The wanted type, but with an id that no server can have: asking for it could lead anywhere.
    Unusable,
    /// Anything else: another type, contained (`#`), `urn:`, conditional.
    Other,
}

/// Looks at a reference for resources of `resource_type`; `base` is the FHIR base URL without a trailing slash.
pub fn target<'a>(reference: &'a str, resource_type: &str, base: &str) -> Target<'a> {
    let absolute = ["http://", "https://"]
        .iter()
        .any(|scheme| reference.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let path = if absolute {
        match reference.strip_prefix(base).and_then(|rest| rest.strip_prefix('/')) {
            Some(path) => path,
            None => return foreign(reference, resource_type),
        }
    } else {
        reference
    };
    let Some(rest) = path.strip_prefix(resource_type).and_then(|rest| rest.strip_prefix('/')) else {
        return Target::Other;
    };
    let (id, version) = rest.split_once("/_history/").map_or((rest, None), |(id, version)| (id, Some(version)));
    if is_id(id) && version.is_none_or(is_id) { Target::Here { id, path } } else { Target::Unusable }
}

/// Whether an absolute reference outside of the base is one to the wanted type.
fn foreign<'a>(reference: &str, resource_type: &str) -> Target<'a> {
    let path = reference.split_once("/_history/").map_or(reference, |(path, _)| path);
    let mut segments = path.rsplit('/').skip(1);
    if segments.next() == Some(resource_type) { Target::Foreign } else { Target::Other }
}

/// Whether `id` can stand in a URL as it is. FHIR's own rule (64 of `A-Za-z0-9-.`) is stricter than servers are.
pub fn is_id(id: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@|".contains(&b);
    (1..=256).contains(&id.len()) && id.bytes().all(plain) && !id.bytes().all(|b| b == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "https://ehr.example/fhir";

    fn practitioner(reference: &str) -> Target<'_> {
        target(reference, "Practitioner", BASE)
    }

    #[test]
    fn h06_relative_and_absolute_references_below_the_base_are_the_same_resource() {
        let here = Target::Here { id: "1", path: "Practitioner/1" };
        assert_eq!(practitioner("Practitioner/1"), here);
        assert_eq!(practitioner("https://ehr.example/fhir/Practitioner/1"), here);
        let versioned = Target::Here { id: "1", path: "Practitioner/1/_history/2" };
        assert_eq!(practitioner("Practitioner/1/_history/2"), versioned);
        assert_eq!(practitioner("https://ehr.example/fhir/Practitioner/1/_history/2"), versioned);
    }

    #[test]
    fn h06_other_servers_are_told_from_this_one() {
        for reference in [
            "https://evil.example/fhir/Practitioner/1",
            "http://ehr.example/fhir/Practitioner/1",
            "HTTPS://evil.example/Practitioner/1",
            "https://ehr.example/fhirx/Practitioner/1",
            "https://ehr.example/fhir2/Practitioner/1/_history/3",
        ] {
            assert_eq!(practitioner(reference), Target::Foreign, "{reference}");
        }
        assert_eq!(practitioner("https://evil.example/fhir/Patient/1"), Target::Other);
    }

    #[test]
    fn what_is_no_reference_to_the_type_is_left_alone() {
        for reference in [
            "#practitioner",
            "urn:uuid:9a6d6b06-7a3f-4f6e-9b1d-3b8ad6a4f3aa",
            "Practitioner?identifier=a|b",
            "PractitionerRole/1",
            "Patient/1",
            "Practitioner",
            "",
            "/Practitioner/1",
        ] {
            assert_eq!(practitioner(reference), Target::Other, "{reference}");
        }
    }

    #[test]
    fn an_id_leads_nowhere_else() {
        for id in ["", ".", "..", "../Patient/1", "1/2", "1?x=y", "1#x", "%2e%2e", "a b", "é", &"x".repeat(257)] {
            let reference = format!("Practitioner/{id}");
            assert_eq!(practitioner(&reference), Target::Unusable, "{reference}");
        }
        assert!(matches!(practitioner("Practitioner/e.3-x_Y|7"), Target::Here { .. }));
    }
}
