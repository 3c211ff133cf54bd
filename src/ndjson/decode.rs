//! Reads a stored file back: its NDJSON, whether it is stored as gzip or plain.

use super::gzip::{Gunzip, MAGIC};
use crate::{Error, ErrorKind, Result};

/// Bytes that one [`Decoder::pull`] gives at most, so that a small file that holds a large one takes no large memory.
const PIECE: usize = 512 << 10;

/// Decodes a file that is pushed in pieces; gzip of one or more members is known by its first bytes.
#[derive(Debug)]
pub struct Decoder {
    /// Pushed and not used yet.
    input: Vec<u8>,
    used: usize,
    form: Form,
    output: Vec<u8>,
}

/// How the file is stored.
#[derive(Debug)]
enum Form {
    /// Two bytes tell; they are not there yet.
    Unknown,
    Plain,
    Gzip(Gunzip),
}

impl Default for Decoder {
    fn default() -> Self {
        Self { input: Vec::new(), used: 0, form: Form::Unknown, output: vec![0; PIECE] }
    }
}

impl Decoder {
    /// Takes the next bytes of the file.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.drain(..self.used);
        self.used = 0;
        self.input.extend_from_slice(bytes);
        if matches!(self.form, Form::Unknown)
            && let Some(start) = self.input.first_chunk::<2>()
        {
            self.form = if *start == MAGIC { Form::Gzip(Gunzip::new()) } else { Form::Plain };
        }
    }

    /// The next decoded bytes; none when more must be pushed first.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] where the file is damaged.
    pub fn pull(&mut self) -> Result<&[u8]> {
        let rest = &self.input[self.used..];
        match &mut self.form {
            Form::Unknown => Ok(&[]),
            Form::Plain => {
                let take = rest.len().min(PIECE);
                self.used += take;
                Ok(&rest[..take])
            }
            Form::Gzip(gunzip) => {
                let step = gunzip.decode(rest, &mut self.output).map_err(|what| damaged(&what))?;
                self.used += step.consumed;
                Ok(&self.output[..step.produced])
            }
        }
    }

    /// Ends the file, after everything was pulled: returns what is left of a file of one byte.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] where the file ends too early.
    pub fn finish(&mut self) -> Result<&[u8]> {
        match &self.form {
            Form::Unknown => Ok(&self.input),
            Form::Plain => Ok(&[]),
            Form::Gzip(gunzip) => gunzip.finish().map(|()| &[][..]).map_err(|what| damaged(&what)),
        }
    }
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, "read", format!("The file is damaged: {what}."))
        .with_hint("Remove it and run the same job again: it fetches just what is missing.")
}

#[cfg(test)]
mod tests {
    use super::super::gzip::Gzip;
    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let (mut encoder, mut bytes) = (Gzip::new(), Vec::new());
        encoder.encode(text, &mut bytes);
        encoder.finish(&mut bytes);
        bytes
    }

    fn decode(file: &[u8], piece: usize) -> Result<Vec<u8>> {
        let (mut decoder, mut result) = (Decoder::default(), Vec::new());
        for bytes in file.chunks(piece) {
            decoder.push(bytes);
            loop {
                let more = decoder.pull()?;
                assert!(more.len() <= PIECE, "bounded");
                if more.is_empty() {
                    break;
                }
                result.extend_from_slice(more);
            }
        }
        result.extend_from_slice(decoder.finish()?);
        Ok(result)
    }

    #[test]
    fn plain_and_gzip_in_pieces_of_any_size() {
        let text = b"{\"resourceType\":\"Patient\"}\n".repeat(100_000);
        let members = [gzip(&text), gzip(b"more\n")].concat();
        let whole = [&text[..], b"more\n"].concat();
        for piece in [1, 7, 65_536, usize::MAX >> 1] {
            assert!(decode(&text, piece).expect("plain") == text, "plain, pieces of {piece}");
            assert!(decode(&members, piece).expect("gzip") == whole, "gzip, pieces of {piece}");
        }
        assert_eq!(decode(b"", 9).expect("empty"), b"");
        assert_eq!(decode(b"{", 9).expect("one byte"), b"{");
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let mut file = gzip(&b"data\n".repeat(1000));
        assert_eq!(decode(&file[..file.len() - 3], 64).expect_err("torn").kind, ErrorKind::Corrupt);
        let last = file.len() - 5;
        file[last] ^= 1;
        assert_eq!(decode(&file, 64).expect_err("wrong checksum").kind, ErrorKind::Corrupt);
    }
}
