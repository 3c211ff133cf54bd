//! Media types and charsets, read as the reference reads them (Python's `email` and httpx).

/// What is inlined unless the user says otherwise.
pub const DEFAULT_MIMETYPES: [&str; 3] = ["text/plain", "text/html", "application/xhtml+xml"];

/// The media types to inline: comma lists in any case; the default if there are none.
pub fn mimetypes(lists: &[String]) -> Vec<String> {
    if lists.is_empty() {
        return DEFAULT_MIMETYPES.map(str::to_owned).to_vec();
    }
    lists
        .iter()
        .flat_map(|list| list.split(','))
        .map(|name| name.trim().to_lowercase())
        .filter(|name| !name.is_empty())
        .collect()
}

/// The media type of a `Content-Type`, in lower case. What has no such form is `text/plain` (RFC 2045 §5.2).
pub fn mimetype(content_type: &str) -> String {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence.split('/').count() == 2 { essence } else { "text/plain".to_owned() }
}

/// The charset of a `Content-Type`, in lower case: `utf-8` if it names none, or one that nobody knows.
pub fn charset(content_type: &str) -> String {
    const FAMILIES: [&str; 16] = [
        "utf", "us-ascii", "ascii", "iso-8859", "iso8859", "iso-2022", "latin", "windows-", "cp", "koi8", "euc", "gb",
        "big5", "shift", "sjis", "mac",
    ];
    let parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let named = parameters.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    let charset = named.map_or("", |(_, value)| value.trim().trim_matches(['"', '\''])).to_ascii_lowercase();
    let is_word = charset.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b));
    let known = is_word && charset.len() <= 40 && FAMILIES.iter().any(|family| charset.starts_with(family));
    if known { charset } else { "utf-8".to_owned() }
}

/// How the names of files of a media type end, with the dot; nothing for types that have no usual ending.
pub fn ending(mimetype: &str) -> &'static str {
    match mimetype {
        "text/plain" => ".txt",
        "text/html" => ".html",
        "application/xhtml+xml" => ".xhtml",
        "text/xml" | "application/xml" | "application/hl7-v3+xml" => ".xml",
        "text/rtf" | "application/rtf" => ".rtf",
        "text/csv" => ".csv",
        "application/pdf" => ".pdf",
        "application/json" | "application/fhir+json" => ".json",
        "application/dicom" => ".dcm",
        "application/msword" => ".doc",
        "application/zip" => ".zip",
        "image/jpeg" | "image/jpg" => ".jpg",
        "image/png" => ".png",
        "image/gif" => ".gif",
        "image/tiff" => ".tiff",
        "image/svg+xml" => ".svg",
        "audio/mpeg" => ".mp3",
        "video/mp4" => ".mp4",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_read_leniently() {
        assert_eq!(mimetype("Text/HTML; charset=utf-8"), "text/html");
        assert_eq!(mimetype(" text/plain ;x"), "text/plain");
        for odd in ["", "pdf", "a/b/c", ";charset=utf-8"] {
            assert_eq!(mimetype(odd), "text/plain", "{odd}");
        }
    }

    #[test]
    fn charsets_are_those_that_the_server_names_if_anybody_knows_them() {
        assert_eq!(charset("text/plain; charset=ISO-8859-1"), "iso-8859-1");
        assert_eq!(charset("text/plain; format=flowed; Charset=\"UTF-8\""), "utf-8");
        for odd in ["text/plain", "text/plain; charset=", "text/plain; charset=klingon", "text/plain; charset=utf 8"] {
            assert_eq!(charset(odd), "utf-8", "{odd}");
        }
    }

    #[test]
    fn a_list_of_media_types_replaces_the_default() {
        assert_eq!(mimetypes(&["Application/PDF,text/rtf".to_owned()]), ["application/pdf", "text/rtf"]);
        assert_eq!(mimetypes(&[]), DEFAULT_MIMETYPES);
    }
}
