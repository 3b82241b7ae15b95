// SPDX-License-Identifier: GPL-2.0

//! The host's memory as the device's objects see it: scattered pages, and memory keys.

use crate::host::DmaError;
use crate::layout;
use crate::nic::Nic;
use crate::object::{ANY_QP, MAX_PAGES};
use crate::status::{refuse, Result, Status};

/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;

/// Pages that lie anywhere and are one after another to the device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pages(pub(crate) Vec<u64>);

impl Pages {
    /// The first pages of an array of addresses, enough for `bytes`.
    pub(crate) fn parse(array: &[u8], bytes: u64) -> Result<Self> {
        let count = bytes.div_ceil(PAGE as u64);
        let addresses = layout::quads(array);
        if (addresses.len() as u64) < count {
            return refuse(Status::BadInputLen, "fewer pages than the size needs");
        }
        // CAST: There are as many in memory.
        let pages = addresses
            .take(count as usize)
            .map(|a| a & !(PAGE as u64 - 1));
        Ok(Self(pages.collect()))
    }

    /// The same of an array of addresses of blocks of `1 << log` bytes, each of which is pages.
    pub(crate) fn parse_blocks(array: &[u8], bytes: u64, log: u32) -> Result<Self> {
        let count = bytes.div_ceil(PAGE as u64);
        let addresses = layout::quads(array);
        if (addresses.len() as u64) < bytes.div_ceil(1 << log) {
            return refuse(Status::BadInputLen, "fewer blocks than the size needs");
        }
        if count > MAX_PAGES as u64 {
            return refuse(Status::ExceedLim, "more memory than the model maps");
        }
        let pages = addresses.flat_map(|address| {
            let block = address & !((1 << log) - 1);
            (0..1 << log).step_by(PAGE).map(move |at| block + at)
        });
        // CAST: No more than the most pages.
        Ok(Self(pages.take(count as usize).collect()))
    }

    /// Where the byte at `offset` is.
    pub(crate) fn address(&self, offset: u64) -> Option<u64> {
        let page = self.0.get(usize::try_from(offset / PAGE as u64).ok()?)?;
        Some(page + offset % PAGE as u64)
    }
}

/// What a memory key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    RemoteWrite,
}

/// Who uses a memory key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// A command of the function that it belongs to.
    Firmware,
    /// A queue pair.
    Qp { qpn: u32, pd: u32 },
}

impl Nic {
    /// Reads from the memory of function `f`.
    pub(crate) fn dma_read(
        &mut self,
        f: usize,
        iova: u64,
        data: &mut [u8],
    ) -> core::result::Result<(), DmaError> {
        let result = self.host.dma_read(f as u16, iova, data);
        if result.is_err() {
            self.trace(
                f,
                format_args!("reading {} bytes at {iova:#x} failed", data.len()),
            );
        }
        result
    }

    /// Writes to it, and tells the page trackers.
    pub(crate) fn dma_write(
        &mut self,
        f: usize,
        iova: u64,
        data: &[u8],
    ) -> core::result::Result<(), DmaError> {
        self.track_write(f, iova, data.len());
        let result = self.host.dma_write(f as u16, iova, data);
        if result.is_err() {
            self.trace(
                f,
                format_args!("writing {} bytes at {iova:#x} failed", data.len()),
            );
        }
        result
    }

    /// Reads a big-endian dword.
    pub(crate) fn dma_read_u32(&mut self, f: usize, iova: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        self.dma_read(f, iova, &mut bytes).ok()?;
        Some(u32::from_be_bytes(bytes))
    }

    /// The pieces of memory that `length` bytes at `va` of memory key `key` are.
    fn key_pieces(
        &self,
        f: usize,
        user: User,
        key: u32,
        (va, length): (u64, usize),
        access: Access,
    ) -> Result<Vec<(u64, usize)>> {
        let mkey = match self.functions[f].objects.mkeys.get(key >> 8) {
            Some(mkey) if u32::from(mkey.variant) == key & 0xff => mkey,
            _ => return refuse(Status::BadRes, "no such memory key"),
        };
        let mut allowed = match access {
            Access::Read => mkey.readable,
            Access::Write => mkey.writable,
            Access::RemoteWrite => mkey.remote_writable,
        };
        if let User::Qp { qpn, pd } = user {
            allowed &= mkey.pd == pd && (mkey.qpn == ANY_QP || mkey.qpn == qpn);
        }
        if !allowed {
            return refuse(
                Status::BadParam,
                "the memory key does not allow this access",
            );
        }
        let offset = va.checked_sub(mkey.start);
        let Some(offset) = offset.filter(|o| {
            o.checked_add(length as u64)
                .is_some_and(|end| end <= mkey.length)
        }) else {
            return refuse(Status::BadParam, "outside of the memory key");
        };
        let (mut at, end) = (offset, offset + length as u64);
        let mut pieces = Vec::new();
        while at < end {
            let piece = (PAGE as u64 - at % PAGE as u64).min(end - at);
            let Some(address) = mkey.pages.address(at) else {
                return refuse(Status::InternalErr, "a memory key without a page");
            };
            // CAST: At most a page.
            pieces.push((address, piece as usize));
            at += piece;
        }
        Ok(pieces)
    }

    /// Reads through a memory key.
    pub(crate) fn key_read(
        &mut self,
        f: usize,
        user: User,
        key: u32,
        va: u64,
        data: &mut [u8],
    ) -> Result<()> {
        let range = (va, data.len());
        let mut rest = data;
        for (iova, length) in self.key_pieces(f, user, key, range, Access::Read)? {
            let (piece, after) = rest.split_at_mut(length);
            if self.dma_read(f, iova, piece).is_err() {
                return refuse(Status::BadParam, "memory of the memory key cannot be read");
            }
            rest = after;
        }
        Ok(())
    }

    /// Writes through a memory key, which must allow `access`.
    pub(crate) fn key_write(
        &mut self,
        f: usize,
        user: User,
        key: u32,
        (va, access): (u64, Access),
        data: &[u8],
    ) -> Result<()> {
        let mut rest = data;
        for (iova, length) in self.key_pieces(f, user, key, (va, data.len()), access)? {
            let (piece, after) = rest.split_at(length);
            if self.dma_write(f, iova, piece).is_err() {
                return refuse(
                    Status::BadParam,
                    "memory of the memory key cannot be written",
                );
            }
            rest = after;
        }
        Ok(())
    }
}
