//! gzip (RFC 1952) as a push stream in both directions, over raw DEFLATE.
//!
//! The framing is our own because a file may have several members, its bytes may have to be stored as they came, and the
//! two DEFLATE engines of flate2 share only the raw interface.

use flate2::{Crc, Decompress, FlushDecompress, Status};
use smart_fetch_deflate::Deflate;

/// The first two bytes of every gzip member.
pub(super) const MAGIC: [u8; 2] = [0x1F, 0x8B];

/// Longest member header: its name and comment have no length limit of their own.
const MAX_HEADER: usize = 128 << 10;

/// What a call of [`Gunzip::decode`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// Bytes of the input that were used.
    pub(super) consumed: usize,
    /// How many of them belong to members; the rest is zero padding after the last one.
    pub(super) kept: usize,
    /// Bytes of the output that were filled.
    pub(super) produced: usize,
}

#[derive(Debug)]
enum Stage {
    /// Before the first member, or after one: another header or padding may come.
    Start,
    /// In a header; what came of it so far.
    Header(Vec<u8>),
    /// In the DEFLATE stream.
    Body,
    /// In the trailer (CRC-32 and size).
    Trailer(Vec<u8>),
    /// After the last member: some writers fill blocks up with zeros (as tape tools do); gzip and Python skip them.
    Padding,
}

/// Decodes gzip, pushed in chunks of any size. Every member's CRC and size are checked.
#[derive(Debug)]
pub(super) struct Gunzip {
    stage: Stage,
    inflate: Decompress,
    crc: Crc,
    members: u64,
}

impl Gunzip {
    pub(super) fn new() -> Self {
        Self { stage: Stage::Start, inflate: Decompress::new(false), crc: Crc::new(), members: 0 }
    }

    /// Decodes until `input` is used up or `output` is full. An error is a sentence's end: "gzip: …".
    pub(super) fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, String> {
        let mut step = Step::default();
        loop {
            let rest = &input[step.consumed..];
            if rest.is_empty() && !matches!(self.stage, Stage::Body) {
                return Ok(step);
            }
            match &mut self.stage {
                Stage::Start => match rest[0] {
                    0 if self.members > 0 => self.stage = Stage::Padding,
                    _ => self.stage = Stage::Header(Vec::new()),
                },
                Stage::Header(header) => {
                    let before = header.len();
                    // Copied and parsed anew with each piece: a header is a few bytes, and so the parser needs no state.
                    let take = rest.len().min(64);
                    header.extend_from_slice(&rest[..take]);
                    match header_length(header)? {
                        Some(length) => {
                            step.consumed += length - before;
                            step.kept += length - before;
                            self.inflate.reset(false);
                            self.crc.reset();
                            self.stage = Stage::Body;
                        }
                        None if header.len() > MAX_HEADER => return Err("its header never ends".to_owned()),
                        None => {
                            step.consumed += take;
                            step.kept += take;
                        }
                    }
                }
                Stage::Body => {
                    if !self.body(rest, output, &mut step)? {
                        return Ok(step);
                    }
                }
                Stage::Trailer(trailer) => {
                    let take = rest.len().min(8 - trailer.len());
                    trailer.extend_from_slice(&rest[..take]);
                    step.consumed += take;
                    step.kept += take;
                    if let Some((crc, size)) = trailer.split_first_chunk::<4>()
                        && let Some(size) = size.first_chunk::<4>()
                    {
                        if u32::from_le_bytes(*crc) != self.crc.sum() || u32::from_le_bytes(*size) != self.crc.amount()
                        {
                            return Err("its checksum does not match".to_owned());
                        }
                        self.members += 1;
                        self.stage = Stage::Start;
                    }
                }
                Stage::Padding => {
                    if rest.iter().any(|&byte| byte != 0) {
                        return Err("other data follow it".to_owned());
                    }
                    step.consumed = input.len();
                }
            }
        }
    }

    /// Inflates; false if it cannot go on without more input or more room.
    fn body(&mut self, input: &[u8], output: &mut [u8], step: &mut Step) -> Result<bool, String> {
        let room = &mut output[step.produced..];
        if room.is_empty() {
            return Ok(false);
        }
        let (used, made) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self
            .inflate
            .decompress(input, room, FlushDecompress::None)
            .map_err(|_| "its compressed data are damaged".to_owned())?;
        let used = (self.inflate.total_in() - used) as usize;
        let made = (self.inflate.total_out() - made) as usize;
        self.crc.update(&room[..made]);
        step.consumed += used;
        step.kept += used;
        step.produced += made;
        if status == Status::StreamEnd {
            self.stage = Stage::Trailer(Vec::with_capacity(8));
            return Ok(true);
        }
        match (used, made) {
            (0, 0) if !input.is_empty() => Err("its compressed data are damaged".to_owned()),
            (0, 0) => Ok(false),
            _ => Ok(true),
        }
    }

    /// Whether the input may end here.
    pub(super) fn finish(&self) -> Result<(), String> {
        match self.stage {
            Stage::Start if self.members > 0 => Ok(()),
            Stage::Padding => Ok(()),
            _ => Err("it ends early".to_owned()),
        }
    }
}

/// Decodes a whole gzip body; `None` if there are more than `max` bytes in it.
pub(crate) fn gunzip(body: &[u8], max: usize) -> Result<Option<Vec<u8>>, String> {
    let mut decoder = Gunzip::new();
    let mut plain = Vec::new();
    let mut block = vec![0; 64 << 10];
    let mut rest = body;
    loop {
        let step = decoder.decode(rest, &mut block)?;
        plain.extend_from_slice(&block[..step.produced]);
        if plain.len() > max {
            return Ok(None);
        }
        rest = &rest[step.consumed..];
        if rest.is_empty() && step.produced < block.len() {
            return decoder.finish().map(|()| Some(plain));
        }
    }
}

/// The length of the member header at the start of `bytes`; `None` if more bytes are needed.
fn header_length(bytes: &[u8]) -> Result<Option<usize>, String> {
    let starts = bytes.iter().zip([MAGIC[0], MAGIC[1], 8]).all(|(&byte, expected)| byte == expected);
    if !starts {
        return Err("its header is not that of gzip, or other data follow it".to_owned());
    }
    let Some(&[_, _, _, flags, ..]) = bytes.first_chunk::<10>() else {
        return Ok(None);
    };
    if flags & 0xE0 != 0 {
        return Err("its header has unknown flags".to_owned());
    }
    let mut at = 10;
    if flags & 4 != 0 {
        let Some(&[low, high]) = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>()) else {
            return Ok(None);
        };
        at += 2 + usize::from(u16::from_le_bytes([low, high]));
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            let Some(end) = bytes.get(at..).and_then(|rest| memchr::memchr(0, rest)) else {
                return Ok(None);
            };
            at += end + 1;
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    Ok((bytes.len() >= at).then_some(at))
}

/// `text` as one gzip member.
pub fn gzip(text: &[u8]) -> Vec<u8> {
    let mut member = Vec::new();
    let mut encoder = Gzip::new();
    encoder.encode(text, &mut member);
    encoder.finish(&mut member);
    member
}

/// Encodes gzip: one member, no name and no time, so that the same data give the same bytes.
#[derive(Debug)]
pub(crate) struct Gzip {
    deflate: Deflate,
    crc: Crc,
    started: bool,
}

impl Gzip {
    pub(crate) fn new() -> Self {
        Self { deflate: Deflate::default(), crc: Crc::new(), started: false }
    }

    /// Encodes all of `input`, appending to `output` what is ready.
    pub(crate) fn encode(&mut self, input: &[u8], output: &mut Vec<u8>) {
        self.start(output);
        self.crc.update(input);
        self.deflate.push(input, output);
    }

    /// Ends the member.
    pub(crate) fn finish(&mut self, output: &mut Vec<u8>) {
        self.start(output);
        self.deflate.finish(output);
        output.extend_from_slice(&self.crc.sum().to_le_bytes());
        output.extend_from_slice(&self.crc.amount().to_le_bytes());
    }

    fn start(&mut self, output: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.started, true) {
            // Method 8, no flags, no time, no extra flags, unknown system.
            output.extend_from_slice(&[MAGIC[0], MAGIC[1], 8, 0, 0, 0, 0, 0, 0, 255]);
        }
    }
}
