// SPDX-License-Identifier: GPL-2.0

//! Event queues and completion queues.

use crate::layout::wire::{event, mlx5_cqe64, mlx5_eqe, mlx5_eqe_comp, mlx5_eqe_cq_err};
use crate::layout::Slot;
use crate::nic::Nic;

/// The driver sees the low 24 bits of an index.
const INDEX: u32 = 0xff_ffff;
/// `op_own` of an entry: all but the owner is in the bits above.
const OWNER_BITS: u32 = 1;

/// `syndrome` of a CQ that was full.
pub(crate) const OVERRUN: u32 = 1;

/// Where entry `index` of a queue of 64-byte entries is, and its owner bit.
fn entry(index: u32, log_size: u32) -> (u64, u32) {
    let slot = index & ((1 << log_size) - 1);
    (u64::from(slot) * 64, index >> log_size & 1)
}

impl Nic {
    /// Posts an event of type `kind` to EQ `eqn`; `fill` writes its data. Without room it is lost,
    /// and so it is if the EQ is gone.
    pub(crate) fn post(&mut self, f: usize, eqn: u32, kind: u8, fill: impl FnOnce(&mut [u8])) {
        let Some(eq) = self.functions[f].objects.eqs.get_mut(eqn) else {
            return;
        };
        if eq.producer.wrapping_sub(eq.consumer) & INDEX >= 1 << eq.log_size {
            self.trace(f, format_args!("EQ {eqn} is full, event {kind:#x} is lost"));
            return;
        }
        let (offset, owner) = entry(eq.producer, eq.log_size);
        eq.producer = eq.producer.wrapping_add(1);
        let Some(address) = eq.pages.address(offset) else {
            return;
        };
        let (fire, vector) = (std::mem::take(&mut eq.armed), eq.vector);
        let mut eqe = [0; mlx5_eqe::SIZE];
        mlx5_eqe::r#type.put(&mut eqe, u32::from(kind));
        fill(mlx5_eqe::data.of_mut(&mut eqe));
        mlx5_eqe::owner.put(&mut eqe, owner);
        // The owner is in the last byte: the driver believes the entry only when that is there.
        let (body, last) = eqe.split_at(mlx5_eqe::SIZE - 1);
        if self.dma_write(f, address, body).is_ok() {
            let _ = self.dma_write(f, address + body.len() as u64, last);
        }
        if fire {
            self.raise(f, vector);
        }
    }

    /// Posts it to the EQ that subscribed to it; false if there is none.
    pub(crate) fn post_to_subscriber(
        &mut self,
        f: usize,
        kind: u8,
        fill: impl FnOnce(&mut [u8]),
    ) -> bool {
        let eqs = &self.functions[f].objects.eqs;
        let Some(eqn) = eqs
            .iter()
            .find(|(_, eq)| eq.events >> kind & 1 == 1)
            .map(|(n, _)| n)
        else {
            self.trace(f, format_args!("nobody wants event {kind:#x}"));
            return false;
        };
        self.post(f, eqn, kind, fill);
        true
    }

    /// The driver consumed events up to `consumer`.
    pub(crate) fn update_eq(&mut self, f: usize, eqn: u32, consumer: u32, arm: bool) {
        let Some(eq) = self.functions[f].objects.eqs.get_mut(eqn) else {
            self.trace(f, format_args!("doorbell of EQ {eqn}, which there is not"));
            return;
        };
        eq.consumer = consumer;
        if arm {
            eq.armed = eq.producer & INDEX == consumer;
            let (fire, vector) = (!eq.armed, eq.vector);
            if fire {
                self.raise(f, vector);
            }
        }
    }

    /// A function whose initiator is suspended raises nothing; it is made up for when it resumes.
    fn raise(&mut self, f: usize, vector: u32) {
        if !self.functions[f].vhca.suspended() {
            // CAST: The field has 12 bits.
            self.host.interrupt(f as u16, vector as u16);
        }
    }

    /// Makes up for interrupts and events that were not raised while the function was suspended, or
    /// got lost on the way to another one.
    pub(crate) fn raise_again(&mut self, f: usize) {
        let cqs = &self.functions[f].objects.cqs;
        let due: Vec<u32> = cqs
            .iter()
            .filter(|(_, cq)| cq.armed.is_some_and(|index| cq.producer & INDEX != index))
            .map(|(cqn, _)| cqn)
            .collect();
        for cqn in due {
            self.fire_cq(f, cqn);
        }
        let eqs = &self.functions[f].objects.eqs;
        let vectors: Vec<u32> = eqs
            .iter()
            .filter(|(_, eq)| eq.producer & INDEX != eq.consumer)
            .map(|(_, eq)| eq.vector)
            .collect();
        for vector in vectors {
            self.raise(f, vector);
        }
    }

    /// Is there room in a CQ? The driver's consumer index is in its memory.
    pub(crate) fn cq_has_room(&mut self, f: usize, cqn: u32) -> bool {
        let cqs = &self.functions[f].objects.cqs;
        let Some(cq) = cqs.get(cqn).filter(|cq| !cq.broken) else {
            return false;
        };
        let (doorbell, producer, size) = (cq.doorbell, cq.producer, 1 << cq.log_size);
        self.dma_read_u32(f, doorbell)
            .is_some_and(|consumer| producer.wrapping_sub(consumer) & INDEX < size)
    }

    /// Posts a completion, which the caller made but for its owner. Without room the CQ is broken
    /// from then on, and the result is false.
    pub(crate) fn complete_work(
        &mut self,
        f: usize,
        cqn: u32,
        mut cqe: [u8; mlx5_cqe64::SIZE],
    ) -> bool {
        let room = self.cq_has_room(f, cqn);
        let Some(cq) = self.functions[f].objects.cqs.get_mut(cqn) else {
            return false;
        };
        if !room {
            if !std::mem::replace(&mut cq.broken, true) {
                self.post_to_subscriber(f, event::CQ_ERROR, |data| {
                    mlx5_eqe_cq_err::cqn.put(data, cqn);
                    mlx5_eqe_cq_err::syndrome.put(data, OVERRUN);
                });
            }
            return false;
        }
        let (offset, owner) = entry(cq.producer, cq.log_size);
        cq.producer = cq.producer.wrapping_add(1);
        let Some(address) = cq.pages.address(offset) else {
            return false;
        };
        let fire = cq.armed.is_some();
        let op = mlx5_cqe64::op_own.get(&cqe) & !OWNER_BITS;
        mlx5_cqe64::op_own.put(&mut cqe, op | owner);
        let (body, last) = cqe.split_at(mlx5_cqe64::SIZE - 1);
        if self.dma_write(f, address, body).is_ok() {
            let _ = self.dma_write(f, address + body.len() as u64, last);
        }
        if fire {
            self.fire_cq(f, cqn);
        }
        true
    }

    fn fire_cq(&mut self, f: usize, cqn: u32) {
        if let Some(cq) = self.functions[f].objects.cqs.get_mut(cqn) {
            cq.armed = None;
            let eqn = cq.eqn;
            self.post(f, eqn, event::COMP, |data| {
                mlx5_eqe_comp::cqn.put(data, cqn)
            });
        }
    }

    /// The driver wants an event for what comes after completion `consumer`.
    pub(crate) fn arm_cq(&mut self, f: usize, cqn: u32, consumer: u32) {
        let suspended = self.functions[f].vhca.suspended();
        let Some(cq) = self.functions[f].objects.cqs.get_mut(cqn) else {
            self.trace(f, format_args!("doorbell of CQ {cqn}, which there is not"));
            return;
        };
        cq.armed = Some(consumer);
        if cq.producer & INDEX != consumer && !suspended {
            self.fire_cq(f, cqn);
        }
        if f == 0 {
            // It may have made room for a report.
            self.report();
        }
    }
}
