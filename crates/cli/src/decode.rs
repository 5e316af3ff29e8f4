//! `tongmai decode`: recorded frames as JSON, or byte by byte.

use std::io::{self, BufWriter, Read, Write};

use anyhow::{Context, Result, bail};
use gbt32960::{Found, Frame, Standard, find_frame};

/// The most bytes that are read of a file or of the standard input.
const INPUT_BYTES_MAX: u64 = 1 << 30;

/// See the module.
#[derive(clap::Args)]
pub(crate) struct DecodeArguments {
    #[command(subcommand)]
    format: Format,
}

#[derive(clap::Subcommand)]
enum Format {
    /// Frames of GB/T 32960.3, editions 2016 and 2025.
    ///
    /// One frame is shown in full; of several, each becomes a line of JSON. What is no frame is told with its place, and
    /// the others are decoded.
    Gbt32960(Gbt32960Arguments),
}

#[derive(clap::Args)]
struct Gbt32960Arguments {
    /// A frame in hexadecimal digits; or a file of such frames, one a line, or of the frames' bytes; or `-` for the
    /// standard input.
    #[arg(value_name = "HEX|FILE|-")]
    input: String,
    /// Show every byte and what it means instead of JSON.
    #[arg(long)]
    bytes: bool,
}

pub(crate) fn run(arguments: DecodeArguments) -> Result<()> {
    let Format::Gbt32960(arguments) = arguments.format;
    let input = read_input(&arguments.input)?;
    let standard = Standard::built_in();
    let frames = Frames::of(&input);
    let mut output = BufWriter::new(io::stdout().lock());
    let (mut good, mut bad) = (0_u64, 0_u64);
    let only_one = frames.0.len() == 1;
    for (place, found) in &frames.0 {
        match found.as_ref().map_err(ToString::to_string).and_then(|bytes| {
            let frame = Frame::parse(bytes).map_err(|error| error.to_string())?;
            shown(&standard, &frame, only_one, arguments.bytes).map_err(|error| error.to_string())
        }) {
            Ok(text) => {
                good += 1;
                output.write_all(text.as_bytes())?;
            }
            Err(error) => {
                bad += 1;
                output.flush()?;
                writeln!(io::stderr(), "{place}: {error}")?;
            }
        }
    }
    output.flush()?;
    match (good, bad) {
        (0, 0) => bail!("there are no frames in the input"),
        (_, 0) => Ok(()),
        _ => bail!("{bad} of {} frames cannot be decoded", good + bad),
    }
}

fn shown(standard: &Standard, frame: &Frame<'_>, alone: bool, bytes: bool) -> Result<String> {
    Ok(match (bytes, alone) {
        (true, true) => gbt32960::dump(standard, frame)?,
        (true, false) => format!("{}\n", gbt32960::dump(standard, frame)?),
        (false, true) => serde_json::to_string_pretty(&gbt32960::frame_to_json(standard, frame)?)? + "\n",
        (false, false) => serde_json::to_string(&gbt32960::frame_to_json(standard, frame)?)? + "\n",
    })
}

/// What `input` names: the standard input, a file, or the digits themselves.
pub(crate) fn read_input(input: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limited = |reader: &mut dyn Read, bytes: &mut Vec<u8>| reader.take(INPUT_BYTES_MAX).read_to_end(bytes);
    if input == "-" {
        limited(&mut io::stdin().lock(), &mut bytes).context("failed to read the standard input")?;
    } else if is_hexadecimal(input) {
        bytes = input.into();
    } else {
        let mut file = std::fs::File::open(input).with_context(|| format!("failed to open `{input}`"))?;
        limited(&mut file, &mut bytes).with_context(|| format!("failed to read `{input}`"))?;
    }
    Ok(bytes)
}

fn is_hexadecimal(text: &str) -> bool {
    text.len() >= 2 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b' ')
}

/// Frames, or why there is none, each with its place in the input.
pub(crate) struct Frames(pub(crate) Vec<(String, Result<Vec<u8>, String>)>);

impl Frames {
    /// The frames in `input`: their bytes one after another, or a line of hexadecimal digits for each.
    pub(crate) fn of(input: &[u8]) -> Self {
        match std::str::from_utf8(input) {
            Ok(text) if text.lines().any(|line| is_hexadecimal(line.trim())) => Self::of_lines(text),
            _ => Self::of_bytes(input),
        }
    }

    fn of_lines(text: &str) -> Self {
        let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        Self(lines.map(|(number, line)| (format!("line {number}"), unhex(line))).collect())
    }

    fn of_bytes(mut bytes: &[u8]) -> Self {
        let (mut frames, mut at) = (Vec::new(), 0);
        loop {
            let (found, length) = match find_frame(bytes) {
                Found::Incomplete if bytes.is_empty() => return Self(frames),
                Found::Incomplete => (Err(format!("{} bytes are no whole frame", bytes.len())), bytes.len()),
                Found::Frame(frame) => (Ok(frame.bytes.to_vec()), frame.bytes.len()),
                Found::Garbage { bytes, error } => {
                    (Err(format!("{error}; {} bytes passed over", bytes.len())), bytes.len())
                }
            };
            frames.push((format!("byte {at}"), found));
            bytes = &bytes[length..];
            at += length;
        }
    }
}

fn unhex(line: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = line.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    match (bytes, rest) {
        (Some(bytes), []) => Ok(bytes),
        (Some(_), _) => Err(format!("{} hexadecimal digits, expected an even number", digits.len())),
        (None, _) => Err("expected hexadecimal digits".to_owned()),
    }
}
