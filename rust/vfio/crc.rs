// SPDX-License-Identifier: GPL-2.0

//! CRC32C with the processor's instructions where it has them.
//!
//! C header: [`include/linux/crc32c.h`](srctree/include/linux/crc32c.h).

use crate::bindings;

/// Continues the CRC32C (Castagnoli) `crc` over `bytes`, without inversion before or after.
pub fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    // SAFETY: The pointer and the length are those of a valid slice, which `crc32c()` only reads.
    unsafe { bindings::crc32c(crc, bytes.as_ptr().cast(), bytes.len()) }
}
