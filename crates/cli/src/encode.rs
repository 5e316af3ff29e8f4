//! `tongmai encode`: frames from JSON, as `tongmai decode` shows them.

use std::io::{self, BufWriter, Write};

use anyhow::{Context, Result, bail};
use gbt32960::Standard;
use serde_json::Value;

use crate::decode::read_input;

/// See the module.
#[derive(clap::Args)]
pub(crate) struct EncodeArguments {
    #[command(subcommand)]
    format: Format,
}

#[derive(clap::Subcommand)]
enum Format {
    /// Frames of GB/T 32960.3: JSON as `decode` shows it becomes lines of hexadecimal digits.
    ///
    /// Of each number the raw value counts, or else the physical one; "abnormal" and "invalid" can stand for either.
    Gbt32960(Gbt32960Arguments),
}

#[derive(clap::Args)]
struct Gbt32960Arguments {
    /// A file of JSON, one document after another, or `-` for the standard input.
    #[arg(value_name = "FILE|-")]
    input: String,
    /// Write the frames' bytes instead of hexadecimal digits.
    #[arg(long)]
    binary: bool,
}

pub(crate) fn run(arguments: EncodeArguments) -> Result<()> {
    let Format::Gbt32960(arguments) = arguments.format;
    let input = read_input(&arguments.input)?;
    let standard = Standard::built_in();
    let mut output = BufWriter::new(io::stdout().lock());
    let mut count = 0;
    for document in serde_json::Deserializer::from_slice(&input).into_iter::<Value>() {
        count += 1;
        let document = document.with_context(|| format!("document {count} is no JSON"))?;
        let frame = gbt32960::frame_from_json(&standard, &document).with_context(|| format!("document {count}"))?;
        if arguments.binary {
            output.write_all(&frame)?;
        } else {
            frame.iter().try_for_each(|byte| write!(output, "{byte:02x}"))?;
            writeln!(output)?;
        }
    }
    if count == 0 {
        bail!("there is no JSON in the input");
    }
    output.flush()?;
    Ok(())
}
