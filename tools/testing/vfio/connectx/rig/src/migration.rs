// SPDX-License-Identifier: GPL-2.0

//! Commands of a variant driver.

use crate::driver::{Outcome, Rig, PAGE};
use connectx_firmware::layout::capability::{cmd_hca_cap, kind};
use connectx_firmware::layout::command as layout;
use connectx_firmware::layout::Slot;

/// A piece of an image that was saved.
#[derive(Clone, Debug)]
pub struct Saved {
    /// The piece.
    pub image: Vec<u8>,
    /// What the next chunk needs.
    pub next: u32,
}

impl Rig {
    /// The id of VF `vf`.
    pub fn vhca_id(&mut self, vf: usize) -> u32 {
        let caps = self.capabilities(0, kind::GENERAL, true, Some(vf as u32));
        cmd_hca_cap::vhca_id.get(&caps)
    }

    /// Suspends the initiator (false) or the responder (true).
    pub fn suspend(&mut self, vf: usize, responder: bool) -> Outcome {
        let id = self.vhca_id(vf);
        self.simple(0, 0x115, u16::from(responder), id)
    }

    /// Resumes the initiator (false) or the responder (true).
    pub fn resume(&mut self, vf: usize, responder: bool) -> Outcome {
        let id = self.vhca_id(vf);
        self.simple(0, 0x116, u16::from(!responder), id)
    }

    /// To STOP.
    pub fn stop(&mut self, vf: usize) {
        self.suspend(vf, false).unwrap();
        self.suspend(vf, true).unwrap();
    }

    /// From STOP.
    pub fn go(&mut self, vf: usize) {
        self.resume(vf, true).unwrap();
        self.resume(vf, false).unwrap();
    }

    /// Asks how much there is: state, bytes that the buffer needs, bytes in all.
    pub fn query(
        &mut self,
        vf: usize,
        incremental: bool,
        chunk: bool,
    ) -> Result<(u32, u32, u64), u8> {
        use layout::query_vhca_migration_state_in as input;
        use layout::query_vhca_migration_state_out as output;

        let id = self.vhca_id(vf);
        let outcome = self.command(0, 0x117, 0, 16, output::SIZE, |data| {
            input::incremental.put(data, u32::from(incremental));
            input::chunk.put(data, u32::from(chunk));
            input::vhca_id.put(data, id);
        });
        match outcome {
            Outcome::Output(data) => Ok((
                output::migration_state.get(&data),
                output::required_umem_size.get(&data),
                output::remaining_total_size.get(&data),
            )),
            other => Err(other.status()),
        }
    }

    /// The input of a SAVE.
    pub fn save_input(
        &mut self,
        vf: usize,
        incremental: bool,
        track: bool,
        key: u32,
        size: u32,
    ) -> Vec<u8> {
        use layout::save_vhca_state_in as input;

        let id = self.vhca_id(vf);
        let mut data = vec![0; input::SIZE];
        layout::enable_hca_in::opcode.put(&mut data, 0x118);
        input::incremental.put(&mut data, u32::from(incremental));
        input::set_track.put(&mut data, u32::from(track));
        input::vhca_id.put(&mut data, id);
        input::mkey.put(&mut data, key);
        input::size.put(&mut data, size);
        data
    }

    /// Saves into a buffer of `size` bytes.
    pub fn save(
        &mut self,
        vf: usize,
        incremental: bool,
        track: bool,
        size: usize,
    ) -> Result<Saved, u8> {
        use layout::save_vhca_state_out as output;

        let pd = self.number(0, 0x800, 0);
        let pages = self.pages(0, size.div_ceil(PAGE));
        let key = self.create_mkey(0, pd, &pages);
        let input = self.save_input(vf, incremental, track, key, size as u32);
        let outcome = self.raw(0, &input, 16);
        let saved = match outcome {
            Outcome::Output(data) => {
                let actual = output::actual_image_size.get(&data) as usize;
                assert!(actual <= size, "{actual} bytes in a buffer of {size}");
                Ok(Saved {
                    image: self.peek_pages(0, &pages, actual),
                    next: output::next_required_umem_size.get(&data),
                })
            }
            other => Err(other.status()),
        };
        self.drop_buffer(pd, key, &pages);
        saved
    }

    /// Loads a piece.
    pub fn load(&mut self, vf: usize, image: &[u8]) -> Outcome {
        use layout::load_vhca_state_in as input;

        let id = self.vhca_id(vf);
        let pd = self.number(0, 0x800, 0);
        let pages = self.pages(0, image.len().div_ceil(PAGE).max(1));
        self.poke_pages(0, &pages, image);
        let key = self.create_mkey(0, pd, &pages);
        let outcome = self.command(0, 0x119, 0, input::SIZE, 16, |data| {
            input::vhca_id.put(data, id);
            input::mkey.put(data, key);
            input::size.put(data, image.len() as u32);
        });
        self.drop_buffer(pd, key, &pages);
        outcome
    }

    fn drop_buffer(&mut self, pd: u32, key: u32, pages: &[u64]) {
        self.simple(0, 0x202, 0, key >> 8).unwrap();
        self.simple(0, 0x801, 0, pd).unwrap();
        let mut shared = self.machine.lock();
        pages.iter().for_each(|page| shared.memory[0].unmap(*page));
    }

    /// Saves all of a stopped VF in one piece.
    pub fn save_all(&mut self, vf: usize) -> Vec<u8> {
        let (_, size, _) = self.query(vf, false, false).expect("a size");
        self.save(vf, false, false, size as usize)
            .expect("an image")
            .image
    }
}
