//! Checks NDJSON without holding a line: a push parser for RFC 8259 that stops and goes on at any byte.
//!
//! Syntax is checked in full. Two things are deliberately let through, because bytes are kept as they are (DESIGN §6):
//! invalid UTF-8 inside strings, and escaped lone surrogates.

#![allow(clippy::inline_always, reason = "the crate is optimised for size; this is what every byte goes through")]

use super::scan::string_run;

/// Deepest nesting; FHIR's own is far below. Bounds what a hostile line can make us hold.
pub(crate) const MAX_DEPTH: u32 = 512;

/// Longest raw text of a key or type that is looked at: `resourceType` with every character escaped has 72.
const MAX_TOKEN: usize = 512;

/// Longest line that is handed on as text.
pub(super) const MAX_CAPTURE: usize = 1 << 20;

/// Takes what the validator finds, line by line.
pub(crate) trait Lines {
    /// Whether the text of lines is wanted: a line that does not come in one piece is copied for it.
    const TEXT: bool = true;

    /// A line that holds a resource. `text` is the line (without its newline) if it is not longer than [`MAX_CAPTURE`].
    fn resource(&mut self, kind: &str, text: Option<&[u8]>);

    /// A line that holds none. `first` is the first byte that is not white space.
    fn bad(&mut self, line: u64, first: u8, reason: String);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the start of a line, perhaps after white space.
    Start,
    /// Before a value.
    Value,
    /// After `[`: a value, or the end.
    FirstItem,
    /// After `{`: a key, or the end.
    FirstKey,
    /// After `,` in an object.
    Key,
    /// After a key.
    Colon,
    /// After a value: `,` or the end of what holds it.
    After,
    /// In a string.
    Text,
    /// After `\`.
    Escape,
    /// In `\uXXXX`, this many digits to go.
    Hex(u8),
    /// In a number: after `-`.
    Minus,
    /// After a leading `0`.
    Zero,
    /// In the integer part.
    Integer,
    /// After the decimal point.
    Point,
    /// In the fraction.
    Fraction,
    /// After `e`.
    Exponent,
    /// After the sign of the exponent.
    Sign,
    /// In the digits of the exponent.
    Power,
    /// In `true`, `false` or `null`: what is left of it.
    Literal(&'static [u8]),
    /// After the closing brace of the line's object.
    Done,
    /// In the rest of a bad line.
    Skip,
}

/// Why a string of the outermost object is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watch {
    Nothing,
    /// It is a key, perhaps `resourceType`.
    Key,
    /// It is the value of `resourceType`.
    Kind,
}

/// What is known of the type of the line's resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Missing,
    /// The key was there; its value is next, or was no string.
    Named,
    /// In `kind`.
    Known,
    /// A string that is no name of a type.
    Odd,
}

/// Checks NDJSON that is pushed in chunks of any size.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "facts that do not exclude each other")]
pub(crate) struct Validator {
    state: State,
    /// Open brackets; the bit is set for an object.
    stack: [u64; (MAX_DEPTH / 64) as usize],
    depth: u32,
    in_object: bool,
    /// Whether the current string is a key.
    is_key: bool,
    watch: Watch,
    /// Whether the current string has an escape.
    escaped: bool,
    /// The raw text of a watched string, as far as it lies in earlier chunks.
    token: Vec<u8>,
    found: Kind,
    /// The type of the current line, or of an earlier one while `found` is not `Known`.
    kind: String,
    /// Number of the current line, from 1.
    line: u64,
    /// Bytes of the current line that lie in earlier chunks.
    line_before: u64,
    /// The first byte of the line that is not white space.
    first: u8,
    /// The text of the line, as far as it lies in earlier chunks.
    text: Vec<u8>,
}

impl Validator {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Start,
            stack: [0; (MAX_DEPTH / 64) as usize],
            depth: 0,
            in_object: false,
            is_key: false,
            watch: Watch::Nothing,
            escaped: false,
            token: Vec::new(),
            found: Kind::Missing,
            kind: String::new(),
            line: 1,
            line_before: 0,
            first: 0,
            text: Vec::new(),
        }
    }

    /// Checks the next bytes.
    #[allow(clippy::needless_continue, reason = "of a macro that is used where it is needed, too")]
    #[allow(clippy::too_many_lines, reason = "one state machine: the states read best, and run fastest, side by side")]
    pub(crate) fn feed<L: Lines>(&mut self, chunk: &[u8], lines: &mut L) {
        let length = chunk.len();
        let mut at = 0;
        // Where, in this chunk, the line and the watched string start.
        let mut line_from = 0;
        let mut token_from = 0;
        let mut state = self.state;

        /// Calls the line bad at the current byte.
        macro_rules! bad {
            ($what:expr) => {{
                self.report($what, chunk.get(at).copied(), self.line_before + (at - line_from) as u64, lines);
                state = State::Skip;
                continue;
            }};
        }

        while at < length {
            let byte = chunk[at];
            match state {
                State::Text => {
                    at = string_run(chunk, at);
                    match chunk.get(at) {
                        None => {}
                        Some(b'"') => {
                            if self.watch != Watch::Nothing {
                                self.end_watched(&chunk[token_from..at]);
                            }
                            at += 1;
                            // What nearly always follows is taken at once: it saves two turns of the loop in three.
                            state = match (self.is_key, chunk.get(at), chunk.get(at + 1)) {
                                (true, Some(b':'), Some(b'"')) => {
                                    at += 2;
                                    token_from = at;
                                    self.start_value();
                                    State::Text
                                }
                                (true, ..) => State::Colon,
                                (false, Some(b','), Some(b'"')) if self.in_object => {
                                    at += 2;
                                    token_from = at;
                                    self.start_key();
                                    State::Text
                                }
                                (false, ..) => State::After,
                            };
                        }
                        Some(b'\\') => {
                            self.escaped = true;
                            at += 1;
                            state = State::Escape;
                        }
                        Some(_) => bad!("a control character in a string"),
                    }
                }
                State::After => {
                    match byte {
                        b',' => state = if self.in_object { State::Key } else { State::Value },
                        b'}' if self.in_object => state = self.close(),
                        b']' if !self.in_object => state = self.close(),
                        b' ' | b'\t' | b'\r' => {}
                        _ => bad!(if self.in_object {
                            "no comma or } after a value"
                        } else {
                            "no comma or ] after a value"
                        }),
                    }
                    at += 1;
                }
                State::Key | State::FirstKey => {
                    match byte {
                        b'"' => {
                            self.start_key();
                            token_from = at + 1;
                            state = State::Text;
                        }
                        b'}' if matches!(state, State::FirstKey) => state = self.close(),
                        b' ' | b'\t' | b'\r' => {}
                        _ => bad!("no key in quotes"),
                    }
                    at += 1;
                }
                State::Colon => {
                    match byte {
                        b':' => state = State::Value,
                        b' ' | b'\t' | b'\r' => {}
                        _ => bad!("no colon after a key"),
                    }
                    at += 1;
                }
                State::Value | State::FirstItem => {
                    match byte {
                        b'"' => {
                            self.start_value();
                            token_from = at + 1;
                            state = State::Text;
                        }
                        b'{' | b'[' => {
                            if self.depth == MAX_DEPTH {
                                bad!("nested too deeply");
                            }
                            self.open(byte == b'{');
                            state = if byte == b'{' { State::FirstKey } else { State::FirstItem };
                        }
                        b'1'..=b'9' => state = State::Integer,
                        b'0' => state = State::Zero,
                        b'-' => state = State::Minus,
                        b't' => state = State::Literal(b"rue"),
                        b'f' => state = State::Literal(b"alse"),
                        b'n' => state = State::Literal(b"ull"),
                        b']' if matches!(state, State::FirstItem) => state = self.close(),
                        b' ' | b'\t' | b'\r' => {}
                        _ => bad!("no value"),
                    }
                    at += 1;
                }
                State::Start => {
                    match byte {
                        b'{' => {
                            self.first = byte;
                            self.found = Kind::Missing;
                            self.open(true);
                            state = State::FirstKey;
                        }
                        b' ' | b'\t' | b'\r' => {}
                        b'\n' => {
                            self.next_line();
                            line_from = at + 1;
                        }
                        _ => {
                            self.first = byte;
                            bad!("not a JSON object");
                        }
                    }
                    at += 1;
                }
                State::Done => {
                    match byte {
                        b'\n' => {
                            self.end_line(&chunk[line_from..at], lines);
                            line_from = at + 1;
                            state = State::Start;
                        }
                        b' ' | b'\t' | b'\r' => {}
                        _ => bad!("more after the object"),
                    }
                    at += 1;
                }
                State::Skip => match memchr::memchr(b'\n', &chunk[at..]) {
                    Some(end) => {
                        at += end + 1;
                        self.next_line();
                        line_from = at;
                        state = State::Start;
                    }
                    None => at = length,
                },
                State::Escape => {
                    match byte {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => state = State::Text,
                        b'u' => state = State::Hex(4),
                        _ => bad!("an unknown escape"),
                    }
                    at += 1;
                }
                State::Hex(left) => {
                    if !byte.is_ascii_hexdigit() {
                        bad!("an escape without four hexadecimal digits");
                    }
                    state = if left > 1 { State::Hex(left - 1) } else { State::Text };
                    at += 1;
                }
                State::Literal(rest) => {
                    if rest.first() != Some(&byte) {
                        bad!("no value");
                    }
                    state = if rest.len() > 1 { State::Literal(&rest[1..]) } else { State::After };
                    at += 1;
                }
                number => match number_step(number, byte) {
                    // The byte that ends a number is not part of it.
                    Some(State::After) => state = State::After,
                    Some(next) => {
                        state = next;
                        at += 1;
                    }
                    None => bad!("a malformed number"),
                },
            }
        }
        self.state = state;
        self.keep(&chunk[token_from..], &chunk[line_from..], L::TEXT);
    }

    /// Ends the file. False if its last line has no newline and is not a whole object: the file is torn.
    pub(crate) fn finish<L: Lines>(&mut self, lines: &mut L) -> bool {
        match self.state {
            State::Done => self.end_line(&[], lines),
            State::Start | State::Skip => {}
            _ => return false,
        }
        self.state = State::Start;
        true
    }

    /// Counts a line that was dealt with elsewhere.
    pub(super) fn skip_line(&mut self) {
        self.next_line();
    }

    /// Whether `line`, the last of a file and without a newline, could be meant to end where it ends: it is blank, or a whole
    /// object, or wrong in another way than by ending too soon.
    pub(super) fn is_whole(line: &[u8]) -> bool {
        let mut validator = Self::new();
        validator.feed(line, &mut Ignore);
        validator.finish(&mut Ignore)
    }

    /// Number of the current line, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Keeps what later chunks will need of this one: the pieces of the watched string and of the line.
    fn keep(&mut self, token: &[u8], line: &[u8], text: bool) {
        self.line_before += line.len() as u64;
        if self.watch != Watch::Nothing && matches!(self.state, State::Text | State::Escape | State::Hex(_)) {
            extend(&mut self.token, token, MAX_TOKEN);
        }
        if text && self.state != State::Skip {
            extend(&mut self.text, line, MAX_CAPTURE);
        }
    }

    /// Starts a string that is a key.
    #[inline(always)]
    fn start_key(&mut self) {
        self.is_key = true;
        self.watch = if self.depth == 1 { Watch::Key } else { Watch::Nothing };
        self.escaped = false;
    }

    /// Starts a string that is a value.
    #[inline(always)]
    fn start_value(&mut self) {
        self.is_key = false;
        self.watch = if self.found == Kind::Named && self.depth == 1 { Watch::Kind } else { Watch::Nothing };
        self.escaped = false;
    }

    #[inline(always)]
    fn open(&mut self, object: bool) {
        let (word, bit) = ((self.depth / 64) as usize, 1 << (self.depth % 64));
        if object {
            self.stack[word] |= bit;
        } else {
            self.stack[word] &= !bit;
        }
        self.depth += 1;
        self.in_object = object;
    }

    #[inline(always)]
    fn close(&mut self) -> State {
        self.depth -= 1;
        if self.depth == 0 {
            return State::Done;
        }
        let outer = self.depth - 1;
        self.in_object = self.stack[(outer / 64) as usize] >> (outer % 64) & 1 == 1;
        State::After
    }

    /// Looks at a watched string whose last piece is `rest`.
    fn end_watched(&mut self, rest: &[u8]) {
        let whole;
        let raw = if self.token.is_empty() {
            rest
        } else {
            extend(&mut self.token, rest, MAX_TOKEN);
            whole = std::mem::take(&mut self.token);
            &whole[..]
        };
        let watch = std::mem::replace(&mut self.watch, Watch::Nothing);
        let plain;
        let text = if self.escaped {
            plain = unescape(raw).unwrap_or_default();
            plain.as_bytes()
        } else {
            raw
        };
        if watch == Watch::Key {
            if text == b"resourceType" {
                self.found = Kind::Named;
            } else if self.found == Kind::Named {
                // The value of the key `resourceType` was no string.
                self.found = Kind::Odd;
            }
            return;
        }
        self.found = Kind::Known;
        if text != self.kind.as_bytes() || text.is_empty() {
            self.kind.clear();
            if is_type_name(text) {
                self.kind.extend(text.iter().map(|&byte| char::from(byte)));
            } else {
                self.found = Kind::Odd;
            }
        }
    }

    fn end_line<L: Lines>(&mut self, rest: &[u8], lines: &mut L) {
        if self.found == Kind::Known {
            let text = if self.text.is_empty() {
                rest
            } else {
                extend(&mut self.text, rest, MAX_CAPTURE);
                &self.text[..]
            };
            lines.resource(&self.kind, Some(text).filter(|text| text.len() <= MAX_CAPTURE));
        } else {
            let reason = match self.found {
                Kind::Missing => "no resourceType",
                _ => "its resourceType is not the name of a type",
            };
            lines.bad(self.line, self.first, reason.to_owned());
        }
        self.next_line();
    }

    fn next_line(&mut self) {
        self.line += 1;
        self.line_before = 0;
        self.depth = 0;
        self.watch = Watch::Nothing;
        self.token.clear();
        self.found = Kind::Missing;
        self.text.clear();
    }

    #[cold]
    fn report<L: Lines>(&mut self, what: &str, byte: Option<u8>, offset: u64, lines: &mut L) {
        let reason = match byte {
            Some(b'\n') => format!("the line ends inside its JSON, at byte {offset}"),
            Some(byte) => format!("{what}, at byte {offset} ('{}')", byte.escape_ascii()),
            None => format!("{what}, at byte {offset}"),
        };
        lines.bad(self.line, self.first, reason);
    }
}

/// Listens to nothing.
struct Ignore;

impl Lines for Ignore {
    const TEXT: bool = false;

    fn resource(&mut self, _kind: &str, _text: Option<&[u8]>) {}
    fn bad(&mut self, _line: u64, _first: u8, _reason: String) {}
}

/// The state after `byte` in a number; `After` if the number ended before it, `None` if it may not come.
#[inline(always)]
fn number_step(state: State, byte: u8) -> Option<State> {
    use State::{After, Exponent, Fraction, Integer, Minus, Point, Power, Sign, Zero};
    match (state, byte) {
        (Minus, b'0') => Some(Zero),
        (Minus, b'1'..=b'9') | (Integer, b'0'..=b'9') => Some(Integer),
        (Point | Fraction, b'0'..=b'9') => Some(Fraction),
        (Exponent | Sign | Power, b'0'..=b'9') => Some(Power),
        (Zero | Integer, b'.') => Some(Point),
        (Zero | Integer | Fraction, b'e' | b'E') => Some(Exponent),
        (Exponent, b'+' | b'-') => Some(Sign),
        (Zero | Integer | Fraction | Power, _) if !byte.is_ascii_digit() => Some(After),
        _ => None,
    }
}

/// Appends what fits into `most` bytes, and one more to show that it was not all.
fn extend(buffer: &mut Vec<u8>, bytes: &[u8], most: usize) {
    let room = (most + 1).saturating_sub(buffer.len());
    buffer.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// The text of a raw JSON string without its quotes; `None` if it is none or too long.
fn unescape(raw: &[u8]) -> Option<String> {
    if raw.len() > MAX_TOKEN {
        return None;
    }
    let quoted = [b"\"", raw, b"\""].concat();
    match serde_json::from_slice(&quoted) {
        Ok(serde_json::Value::String(text)) => Some(text),
        _ => None,
    }
}

/// Whether this could be the name of a FHIR type. It may become part of a file name, so it is never more than letters and digits.
pub(super) fn is_type_name(text: &[u8]) -> bool {
    text.len() <= 64 && text.first().is_some_and(u8::is_ascii_alphabetic) && text.iter().all(u8::is_ascii_alphanumeric)
}
