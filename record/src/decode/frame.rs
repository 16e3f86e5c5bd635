//! One zstd frame, decompressed within bounds.

use zstd::zstd_safe::{
    DCtx, DParameter, InBuffer, OutBuffer, find_frame_compressed_size, get_error_name, get_frame_content_size,
};

use super::{DecodeError, DecodeLimits};

/// RFC 8878, section 3.1.1.
const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
/// How much is decompressed at a time when the frame does not say how much it holds.
const STEP_BYTES: usize = 256 * 1024;
/// The largest window of a frame that does not say how much it holds (2^23 is what the format asks decoders to support).
const WINDOW_LOG_MAX: u32 = 23;

/// The bytes in the frame that `bytes` is.
pub(super) fn decompress(bytes: &[u8], limits: &DecodeLimits) -> Result<Vec<u8>, DecodeError> {
    if bytes.len() > limits.compressed_bytes_max {
        return Err(DecodeError::TooLarge {
            what: format!("a batch of {} bytes", bytes.len()),
            max: limits.compressed_bytes_max,
        });
    }
    if !bytes.starts_with(&MAGIC) {
        return Err(match MAGIC.starts_with(bytes) {
            true => DecodeError::Truncated,
            false => DecodeError::NotZstd("it does not start with the magic number 28 b5 2f fd".to_owned()),
        });
    }
    let frame_bytes = find_frame_compressed_size(bytes).map_err(zstd_error)?;
    if frame_bytes < bytes.len() {
        let bytes = bytes.len() - frame_bytes;
        return Err(DecodeError::TrailingBytes { bytes, what: "the zstd frame" });
    }
    let said = get_frame_content_size(bytes).map_err(|_| DecodeError::NotZstd("its header is malformed".to_owned()))?;
    match said {
        Some(raw_bytes) => at_once(bytes, raw_bytes, limits.raw_bytes_max),
        None => in_steps(bytes, limits.raw_bytes_max),
    }
}

/// A frame that says how much it holds: straight into a buffer of that size, without a window.
fn at_once(bytes: &[u8], raw_bytes: u64, max: usize) -> Result<Vec<u8>, DecodeError> {
    let capacity = usize::try_from(raw_bytes).ok().filter(|size| *size <= max);
    let Some(capacity) = capacity else {
        return Err(too_large(format!("a batch that decompresses to {raw_bytes} bytes"), max));
    };
    let mut raw = Vec::with_capacity(capacity);
    context()?.decompress(&mut raw, bytes).map_err(zstd_error)?;
    Ok(raw)
}

/// A frame that does not say, as `zstd` makes from a pipe: a step at a time, up to `max`.
fn in_steps(bytes: &[u8], max: usize) -> Result<Vec<u8>, DecodeError> {
    let mut context = context()?;
    context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).map_err(zstd_error)?;
    let mut input = InBuffer::around(bytes);
    let mut raw: Vec<u8> = Vec::new();
    loop {
        let done = raw.len();
        raw.reserve(STEP_BYTES.min(max.saturating_sub(done) + 1));
        let mut output = OutBuffer::around_pos(&mut raw, done);
        let more = context.decompress_stream(&mut output, &mut input).map_err(zstd_error)?;
        if raw.len() > max {
            return Err(too_large(format!("a batch that decompresses to over {max} bytes"), max));
        }
        if more == 0 {
            return Ok(raw);
        }
        if raw.len() == done && input.pos() == bytes.len() {
            return Err(DecodeError::Truncated);
        }
    }
}

fn context() -> Result<DCtx<'static>, DecodeError> {
    DCtx::try_create().ok_or_else(|| DecodeError::NotZstd("no memory for a decompressor".to_owned()))
}

fn too_large(what: String, max: usize) -> DecodeError {
    DecodeError::TooLarge { what, max }
}

/// `code` is what zstd answered instead of a size.
fn zstd_error(code: usize) -> DecodeError {
    match get_error_name(code) {
        "Src size is incorrect" => DecodeError::Truncated,
        name => DecodeError::NotZstd(name.to_lowercase()),
    }
}
