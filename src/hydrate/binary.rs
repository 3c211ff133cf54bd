//! Takes a Binary resource apart while it is in pieces: its data may be large, all the rest is small.

/// The longest rest that is taken.
const MAX_FRAME: usize = 1 << 20;

/// Splits the JSON of a resource into the text of its `data` (without escapes), and all of it with empty data. `None` where it
/// ends early, has other escapes in its data than base64 can have, or is too large besides.
pub(super) fn split(pieces: Vec<Vec<u8>>) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let (mut frame, mut data) = (Vec::new(), Vec::new());
    let mut place = Place::default();
    for piece in pieces {
        if place.in_data && !place.escaped && memchr::memchr2(b'"', b'\\', &piece).is_none() {
            data.push(piece);
            continue;
        }
        let mut rest = &piece[..];
        while let [byte, after @ ..] = rest {
            if !place.in_data {
                frame.push(*byte);
                place.take(*byte);
                rest = after;
            } else if std::mem::take(&mut place.escaped) {
                match byte {
                    b'/' => data.push(vec![b'/']),
                    b'n' | b'r' | b't' => {}
                    _ => return None,
                }
                rest = after;
            } else {
                let end = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                data.push(rest[..end].to_vec());
                place.escaped = rest.get(end) == Some(&b'\\');
                if rest.get(end) == Some(&b'"') {
                    place.in_data = false;
                    frame.push(b'"');
                }
                rest = rest.get(end + 1..).unwrap_or_default();
            }
        }
        if frame.len() > MAX_FRAME {
            return None;
        }
    }
    (!place.in_data).then_some((frame, data))
}

/// Where in the JSON we are.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools)] // Each is a bit of a lexer's state.
struct Place {
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// The last key of the outermost object.
    key: Vec<u8>,
    /// Whether its value is what comes.
    at_value: bool,
    in_data: bool,
}

impl Place {
    fn take(&mut self, byte: u8) {
        if self.in_string {
            match byte {
                _ if std::mem::take(&mut self.escaped) => {}
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ if self.depth == 1 && !self.at_value => self.key.push(byte),
                _ => {}
            }
            return;
        }
        match byte {
            b'"' if self.depth == 1 && self.at_value && self.key == b"data" => self.in_data = true,
            b'"' => {
                self.in_string = true;
                if !self.at_value {
                    self.key.clear();
                }
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b':' if self.depth == 1 => self.at_value = true,
            b',' if self.depth == 1 => self.at_value = false,
            _ => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::split;

    fn in_pieces(text: &str, size: usize) -> Option<(String, String)> {
        let (frame, data) = split(text.as_bytes().chunks(size).map(<[u8]>::to_vec).collect())?;
        Some((String::from_utf8(frame).unwrap(), String::from_utf8(data.concat()).unwrap()))
    }

    #[test]
    fn data_are_told_from_the_rest_wherever_the_pieces_end() {
        let text = r#"{"meta":{"data":"x","tag":["data"]},"id":"\"data\":","data" : "aGVs\/bG8=\n","data2":"y"}"#;
        for size in 1..text.len() {
            let (frame, data) = in_pieces(text, size).unwrap();
            assert_eq!(data, "aGVs/bG8=", "{size}");
            assert_eq!(frame, text.replace(r"aGVs\/bG8=\n", ""), "{size}");
        }
    }

    #[test]
    fn what_is_no_such_resource_is_left_whole_or_refused() {
        let outcome = r#"{"resourceType":"OperationOutcome","issue":[{"data":"no"}]}"#;
        assert_eq!(in_pieces(outcome, 7).unwrap(), (outcome.to_owned(), String::new()));
        assert!(in_pieces(r#"{"data":"aGVs"#, 5).is_none(), "it ends early");
        assert!(in_pieces(r#"{"data":"a\u0041"}"#, 5).is_none(), "base64 has no such escapes");
        assert!(in_pieces(&"x".repeat(2 << 20), 1 << 16).is_none());
    }
}
