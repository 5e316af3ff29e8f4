//! The messages of remote write 1.0, in Protocol Buffers. Knows no meaning.
//!
//! The outermost message is taken apart by hand, one series at a time: decoded as a whole, a request of empty series
//! would take thirty times its size.

use prost::encoding::{self, DecodeContext, WireType};
use prost::{Message, bytes::Buf};

use crate::error::RequestError;

/// The largest series, in bytes.
pub(crate) const SERIES_BYTES_MAX: usize = 1 << 20;
/// `WriteRequest.timeseries`.
const TIME_SERIES: u32 = 1;

/// `prometheus.TimeSeries`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    pub(crate) labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) samples: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) histograms: Vec<Histogram>,
}

/// `prometheus.Label`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Label {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

/// `prometheus.Sample`.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Sample {
    #[prost(double, tag = "1")]
    pub(crate) value: f64,
    /// Milliseconds since the epoch.
    #[prost(int64, tag = "2")]
    pub(crate) timestamp: i64,
}

/// `prometheus.Histogram`, of which only its presence matters.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct Histogram {}

/// The next series of a request, and where it begins; moves `offset` behind it.
pub(crate) fn next_series<'a>(
    request: &'a [u8],
    offset: &mut usize,
) -> Result<Option<(usize, &'a [u8])>, RequestError> {
    while *offset < request.len() {
        let begin = *offset;
        let mut rest = &request[begin..];
        let malformed = |expected| RequestError::Malformed { offset: begin + 1, expected };
        let (tag, wire_type) = encoding::decode_key(&mut rest).map_err(|_| malformed("a field of a write request"))?;
        if tag == TIME_SERIES && wire_type == WireType::LengthDelimited {
            let len = encoding::decode_varint(&mut rest).ok().and_then(|len| usize::try_from(len).ok());
            let Some(series) = len.and_then(|len| rest.get(..len)) else {
                return Err(malformed("as many bytes as the length of the series says"));
            };
            *offset = request.len() - rest.len() + series.len();
            return Ok(Some((begin, series)));
        }
        encoding::skip_field(wire_type, tag, &mut rest, DecodeContext::default())
            .map_err(|_| malformed("a whole field of a write request"))?;
        *offset = request.len() - rest.remaining();
    }
    Ok(None)
}
