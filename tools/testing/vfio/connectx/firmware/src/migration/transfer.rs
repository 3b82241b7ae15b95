// SPDX-License-Identifier: GPL-2.0

//! Moving a piece of an image: in slices, with time between them.

use super::image::{Head, Piece, Reader, Writer, FRAME, PAGE_RECORD};
use super::state::Bytes;
use super::{chunk_size, objects, piece_size};
use crate::layout::command::{load_vhca_state_in, save_vhca_state_in, save_vhca_state_out};
use crate::layout::Slot;
use crate::memory::{Access, User};
use crate::nic::{Event, Nic};
use crate::queue::Request;
use crate::status::{refuse, require, Failure, Result, Status};
use std::collections::BTreeMap;
use std::time::Duration;

/// Bytes that are moved at a time.
const SLICE: u64 = 256 << 10;

/// A SAVE or LOAD that was begun.
pub(crate) struct Transfer {
    /// The command, which ends with the transfer.
    pub(crate) request: Option<Box<Request>>,
    vf: usize,
    generation: u64,
    key: u32,
    address: u64,
    left: u64,
    work: Work,
}

enum Work {
    Save {
        writer: Writer,
        /// To be saved again if this fails.
        pages: Vec<u32>,
        bytes: u32,
        /// What the next chunk needs.
        next: u32,
        last: bool,
    },
    Load(Box<Reader>),
}

/// An image that comes in pieces.
#[derive(Debug)]
pub(super) enum Incoming {
    /// Nothing came since the function was suspended, or all of it.
    None,
    /// Pieces came.
    Partial {
        /// The checksum of the last one.
        previous: u64,
        next: u32,
        pages: BTreeMap<u32, (u32, Bytes)>,
    },
    /// A piece was refused: nothing that was loaded is of use.
    Broken,
}

impl Incoming {
    /// May the function run with what came?
    pub(super) fn may_run(&self) -> bool {
        matches!(self, Self::None)
    }
}

impl Transfer {
    /// The next piece of what is to be saved, at most `size` bytes.
    pub(super) fn save(
        nic: &mut Nic,
        vf: usize,
        input: &[u8],
        stopped: bool,
        size: u64,
    ) -> Result<Self> {
        let fixed = piece_size(nic, vf, 0, stopped);
        let chunked = nic.config.chunk;
        let vhca = &nic.functions[vf].vhca;
        let Some(outgoing) = &vhca.outgoing else {
            return refuse(Status::BadResState, "nothing is being saved");
        };
        let all = outgoing.dirty.len();
        // CAST: A buffer has less than 4 GiB.
        let mut fit = (size.saturating_sub(FRAME) / PAGE_RECORD) as usize;
        let last = stopped && size >= fixed + all as u64 * PAGE_RECORD;
        fit = fit.min(all);
        require(
            size >= FRAME && (last || !stopped || (chunked && fit > 0)),
            Status::BadParam,
            "the buffer is too small",
        )?;
        let indices: Vec<u32> = outgoing.dirty.iter().take(fit).copied().collect();
        let head = Head {
            previous: outgoing.previous,
            sequence: outgoing.sequence,
            last,
            pages: vhca.opaque.pages() as u32,
        };
        let pages = indices
            .iter()
            .map(|&index| vhca.opaque.page(index))
            .collect();
        let end = last.then(|| (vhca.opaque.digest(), objects::encode(&nic.functions[vf])));
        let writer = Writer::new(head, pages, end);
        let rest = all - fit;
        let next = match stopped && !last {
            true => chunk_size(nic, vf, piece_size(nic, vf, rest, true)) as u32,
            false => 0,
        };
        let function = &mut nic.functions[vf];
        if let Some(outgoing) = &mut function.vhca.outgoing {
            outgoing.sequence += 1;
            for index in &indices {
                outgoing.dirty.remove(index);
            }
        }
        function.vhca.busy = true;
        Ok(Self {
            request: None,
            vf,
            generation: function.generation,
            key: save_vhca_state_in::mkey.get(input),
            address: save_vhca_state_in::va.get(input),
            left: writer.length(),
            work: Work::Save {
                bytes: writer.length() as u32,
                writer,
                pages: indices,
                next,
                last,
            },
        })
    }

    /// A piece that is to be loaded.
    pub(super) fn load(nic: &mut Nic, vf: usize, input: &[u8]) -> Result<Self> {
        let length = u64::from(load_vhca_state_in::size.get(input));
        let function = &mut nic.functions[vf];
        let reader = Reader::new(length).inspect_err(|_| {
            function.vhca.incoming = Incoming::Broken;
        })?;
        function.vhca.busy = true;
        Ok(Self {
            request: None,
            vf,
            generation: function.generation,
            key: load_vhca_state_in::mkey.get(input),
            address: load_vhca_state_in::va.get(input),
            left: length,
            work: Work::Load(Box::new(reader)),
        })
    }

    fn is_save(&self) -> bool {
        matches!(self.work, Work::Save { .. })
    }
}

impl Nic {
    /// Moves a slice of a transfer, or ends it.
    pub(crate) fn transfer(&mut self, mut transfer: Box<Transfer>) {
        let Some(request) = transfer.request.take() else {
            return;
        };
        let vf = transfer.vf;
        // A reset of the VF ends what was going on with it; the PF gets its answer.
        if self.functions[vf].generation != transfer.generation {
            let failure = Failure::new(Status::BadResState, "the function was reset meanwhile");
            return self.finish(&request, &mut [0; 16], Err(failure));
        }
        if transfer.left == 0 {
            let mut output = [0; 16];
            let result = self.end_transfer(*transfer, &mut output);
            return self.finish(&request, &mut output, result);
        }
        match self.slice(request.f, &mut transfer) {
            Ok(moved) => {
                let bandwidth = match transfer.is_save() {
                    true => self.config.save_bandwidth,
                    false => self.config.load_bandwidth,
                };
                let nanos = (moved * 1_000_000_000).checked_div(bandwidth).unwrap_or(0);
                transfer.request = Some(request);
                self.after(Duration::from_nanos(nanos), Event::Transfer(transfer));
            }
            Err(failure) => {
                let vhca = &mut self.functions[vf].vhca;
                vhca.busy = false;
                match transfer.work {
                    Work::Save { pages, .. } => {
                        if let Some(outgoing) = &mut vhca.outgoing {
                            outgoing.sequence -= 1;
                            outgoing.dirty.extend(pages);
                        }
                    }
                    Work::Load(_) => vhca.incoming = Incoming::Broken,
                }
                self.finish(&request, &mut [0; 16], Err(failure));
            }
        }
    }

    /// Moves a slice and tells how much that was.
    fn slice(&mut self, pf: usize, transfer: &mut Transfer) -> Result<u64> {
        let count = transfer.left.min(SLICE);
        match &mut transfer.work {
            Work::Save { writer, .. } => {
                let bytes = writer.take(count as usize);
                let place = (transfer.address, Access::Write);
                self.key_write(pf, User::Firmware, transfer.key, place, &bytes)?;
            }
            Work::Load(reader) => {
                let mut bytes = vec![0; count as usize];
                let from = transfer.address;
                self.key_read(pf, User::Firmware, transfer.key, from, &mut bytes)?;
                reader.push(&bytes)?;
            }
        }
        transfer.address = transfer.address.wrapping_add(count);
        transfer.left -= count;
        Ok(count)
    }

    fn end_transfer(&mut self, transfer: Transfer, output: &mut [u8]) -> Result<()> {
        let vf = transfer.vf;
        let vhca = &mut self.functions[vf].vhca;
        vhca.busy = false;
        match transfer.work {
            Work::Save {
                writer,
                bytes,
                next,
                last,
                ..
            } => {
                save_vhca_state_out::actual_image_size.put(output, bytes);
                save_vhca_state_out::next_required_umem_size.put(output, next);
                match &mut vhca.outgoing {
                    Some(outgoing) if !last => outgoing.previous = writer.checksum(),
                    outgoing => *outgoing = None,
                }
                Ok(())
            }
            Work::Load(reader) => {
                let result = reader.finish().and_then(|piece| self.accept(vf, piece));
                if result.is_err() {
                    self.functions[vf].vhca.incoming = Incoming::Broken;
                }
                result
            }
        }
    }

    /// Takes a good piece; with the last one the function becomes what was saved.
    fn accept(&mut self, vf: usize, piece: Piece) -> Result<()> {
        let function = &mut self.functions[vf];
        let incoming = std::mem::replace(&mut function.vhca.incoming, Incoming::None);
        let mut pages = match (piece.head.sequence, incoming) {
            (0, _) => BTreeMap::new(),
            (
                sequence,
                Incoming::Partial {
                    previous,
                    next,
                    pages,
                },
            ) if previous == piece.head.previous && next == sequence => pages,
            _ => return refuse(Status::BadParam, "this is not the next piece of the image"),
        };
        pages.extend(piece.pages);
        let (Some(digest), Some(objects)) = (piece.digest, piece.objects) else {
            function.vhca.incoming = Incoming::Partial {
                previous: piece.checksum,
                next: piece.head.sequence + 1,
                pages,
            };
            return Ok(());
        };
        let complete = pages.keys().copied().eq(0..piece.head.pages);
        let versions: Vec<u32> = pages.values().map(|(version, _)| *version).collect();
        require(
            complete && super::state::digest(versions.iter().copied()) == digest,
            Status::BadParam,
            "the image lacks pages",
        )?;
        let loaded = objects::decode(&objects)?;
        let pages = pages
            .into_iter()
            .map(|(index, (_, bytes))| (index, bytes))
            .collect();
        function.vhca.opaque.replace(versions, pages);
        function.vhca.held = loaded.held;
        function.vhca.outgoing = None;
        function.phase = loaded.phase;
        function.objects = loaded.objects;
        function.queue = loaded.queue;
        Ok(())
    }
}
