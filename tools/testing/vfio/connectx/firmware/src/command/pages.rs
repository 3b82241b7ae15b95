// SPDX-License-Identifier: GPL-2.0

//! Memory that drivers lend to the firmware. The model has no use for it; it keeps account.

use super::hca::other;
use super::{Call, Flow};
use crate::layout::command::{manage_pages_in, manage_pages_out, query_pages_in, query_pages_out};
use crate::layout::wire::{event, mlx5_eqe_page_req};
use crate::layout::{quads, Slot};
use crate::nic::Nic;
use crate::status::{refuse, require, Result, Status};

/// The most that is kept for a function.
const MAX_PAGES: usize = 1 << 20;

/// The function that the command is about; 0 is the one that gives it.
fn subject(nic: &Nic, call: &Call<'_>) -> Result<usize> {
    match query_pages_in::function_id.get(call.input) as usize {
        0 => Ok(call.f),
        number => other(nic, call.f, number),
    }
}

pub(super) fn query_pages(nic: &mut Nic, call: &Call<'_>, output: &mut [u8]) -> Result<Flow> {
    let f = subject(nic, call)?;
    let pages = match (f, call.op_mod) {
        (0, 1) => nic.config.boot_pages,
        (0, 2) => nic.config.init_pages,
        _ => 0,
    };
    query_pages_out::function_id.put(output, query_pages_in::function_id.get(call.input));
    query_pages_out::num_pages.put(output, pages);
    Ok(Flow::Done)
}

pub(super) fn manage_pages(nic: &mut Nic, call: &Call<'_>, output: &mut [u8]) -> Result<Flow> {
    let f = subject(nic, call)?;
    let count = manage_pages_in::input_num_entries.get(call.input) as usize;
    let pages = &mut nic.functions[f].firmware_pages;
    match call.op_mod {
        // The driver could not give what it was asked for.
        0 => {}
        1 => {
            let given = quads(manage_pages_in::pas.of(call.input));
            require(
                given.len() >= count,
                Status::BadInputLen,
                "fewer pages than announced",
            )?;
            require(
                pages.len() + count <= MAX_PAGES,
                Status::ExceedLim,
                "more pages than anybody wants",
            )?;
            pages.extend(given.take(count));
        }
        2 => {
            let room = call.outlen.min(output.len()) - manage_pages_out::SIZE;
            let taken = pages.split_off(pages.len() - count.min(pages.len()).min(room / 8));
            manage_pages_out::output_num_entries.put(output, taken.len() as u32);
            let places = manage_pages_out::pas.of_mut(output).chunks_exact_mut(8);
            for (place, page) in places.zip(taken) {
                place.copy_from_slice(&page.to_be_bytes());
            }
        }
        _ => return refuse(Status::BadParam, "neither giving nor taking"),
    }
    Ok(Flow::Done)
}

impl Nic {
    /// Asks the PF's driver for pages for a VF, or with a negative number gives them back.
    pub(super) fn request_pages(&mut self, vf: usize, count: i64) {
        if count != 0 {
            self.post_to_subscriber(0, event::PAGE_REQUEST, |data| {
                mlx5_eqe_page_req::func_id.put(data, vf as u32);
                mlx5_eqe_page_req::num_pages.put(data, count as u32);
            });
        }
    }
}
