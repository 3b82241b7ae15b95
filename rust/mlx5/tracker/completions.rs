// SPDX-License-Identifier: GPL-2.0

//! The completion queue of a page tracker.
//!
//! C header: [`include/linux/mlx5/cq.h`](srctree/include/linux/mlx5/cq.h).

use super::{
    events::Events,
    memory::{
        Doorbell,
        Fragments,
        Uar, //
    },
};
use crate::{
    bindings,
    command::{
        queue::with_pages,
        Pf, //
    },
    layout::queue::{
        cqc,
        create_cq_in,
        create_cq_out, //
    },
};
use core::mem;
use kernel::{
    container_of,
    cpu::CpuId,
    error::to_result,
    ffi::c_int,
    prelude::*,
    sync::{
        barrier::{
            dma_mb,
            Read, //
        },
        Arc, //
    },
    types::Opaque, //
};

/// Bytes of an entry.
const ENTRY: usize = 64;
/// `op_own` of an entry that was never written.
const INVALID: u8 = 0xf << 4;
/// The opcode of a message with an immediate that was received.
const RECEIVED_IMMEDIATE: u8 = 3;
/// Indices of the queue have so many bits.
const INDEX: u32 = 0xff_ffff;

/// What is not to move, as `mlx5_core` knows where it is.
///
/// # Invariants
///
/// `raw` is a completion queue of `pf`, which is up.
#[pin_data]
struct Queue {
    #[pin]
    raw: Opaque<bindings::mlx5_core_cq>,
    events: Arc<Events>,
}

// SAFETY: `raw` is used by the event queues, which count their references to it, and by who has
// exclusive access to the `Completions`.
unsafe impl Send for Queue {}
// SAFETY: As above.
unsafe impl Sync for Queue {}

impl Queue {
    /// # Safety
    ///
    /// Called by a completion event queue for the queue of a `Self`.
    unsafe extern "C" fn completed(
        raw: *mut bindings::mlx5_core_cq,
        _entry: *mut bindings::mlx5_eqe,
    ) {
        let raw = raw.cast::<Opaque<bindings::mlx5_core_cq>>();
        // SAFETY: By the safety requirements.
        unsafe { &*container_of!(raw, Self, raw) }.events.wake();
    }

    /// # Safety
    ///
    /// Called by the asynchronous event queue for the queue of a `Self`. There is no other event than
    /// that it has failed.
    unsafe extern "C" fn failed(raw: *mut bindings::mlx5_core_cq, _event: bindings::mlx5_event) {
        let raw = raw.cast::<Opaque<bindings::mlx5_core_cq>>();
        // SAFETY: By the safety requirements.
        unsafe { &*container_of!(raw, Self, raw) }.events.fail();
    }
}

/// A completion queue.
pub(super) struct Completions {
    queue: Pin<KBox<Queue>>,
    ring: Fragments,
    doorbell: Doorbell,
    log_size: u32,
    /// Which entry comes next.
    next: u32,
    pf: Pf,
}

/// The entry of a message that was received.
pub(super) struct Received {
    pub(super) immediate: u32,
    pub(super) bytes: u32,
    /// Which entry of the receive queue it took, in 16 bits.
    pub(super) counter: u16,
}

/// The event queue for a completion queue of a thread that runs here.
fn event_queue(pf: Pf) -> Result<u32> {
    // SAFETY: The caller has the PF up.
    let vectors = unsafe { bindings::mlx5_comp_vectors_max(pf.as_raw()) };
    let vector = CpuId::current().as_u32().checked_rem(vectors);
    let mut number: c_int = 0;
    // SAFETY: As above.
    to_result(unsafe {
        bindings::mlx5_comp_eqn_get(
            pf.as_raw(),
            u16::try_from(vector.ok_or(ENODEV)?)?,
            &mut number,
        )
    })?;
    Ok(u32::try_from(number)?)
}

impl Completions {
    /// A queue of `1 << log_size` entries. The PF must be up until this is destroyed.
    pub(super) fn new(pf: Pf, uar: &Uar, log_size: u32, events: Arc<Events>) -> Result<Self> {
        let ring = Fragments::new(pf, ENTRY << log_size)?;
        for entry in 0..1 << log_size {
            ring.store(entry * ENTRY + bindings::OFFSETOF_CQE_OP_OWN, INVALID)?;
        }
        let doorbell = Doorbell::new(pf)?;
        let pages = ring.addresses()?;

        const BASE: usize = create_cq_in::cq_context.first();
        let mut input = with_pages(create_cq_in::SIZE, &pages)?;
        let bytes = &mut input[..];
        let mut put = || {
            cqc::log_cq_size.at(BASE).put(bytes, log_size)?;
            cqc::uar_page.at(BASE).put(bytes, uar.index())?;
            cqc::dbr_addr.at(BASE).put(bytes, doorbell.address())
        };
        put().map_err(|_| EOVERFLOW)?;
        let number = event_queue(pf)?;
        let field = cqc::c_eqn_or_apu_element.at(BASE);
        field.put(bytes, number).map_err(|_| EOVERFLOW)?;

        let [set, arm] = doorbell.words();
        let queue = KBox::pin_init(
            pin_init!(Queue {
                events,
                raw <- Opaque::ffi_init(|slot: *mut bindings::mlx5_core_cq| {
                    // SAFETY: The slot is valid for writes; all zeroes are valid for it.
                    unsafe { slot.write(pin_init::zeroed()) };
                    // SAFETY: As above.
                    let raw = unsafe { &mut *slot };
                    raw.cqe_sz = ENTRY as c_int;
                    raw.set_ci_db = set;
                    raw.arm_db = arm;
                    raw.comp = Some(Queue::completed);
                    raw.event = Some(Queue::failed);
                }),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        let mut reply = create_cq_out::Bytes::ZERO;
        // SAFETY: The PF is up. The queue does not move; both buffers are valid for their lengths.
        to_result(unsafe {
            bindings::mlx5_core_create_cq(
                pf.as_raw(),
                queue.raw.get(),
                bytes.as_mut_ptr().cast(),
                c_int::try_from(bytes.len())?,
                reply.0.as_mut_ptr().cast(),
                create_cq_out::SIZE as c_int,
            )
        })?;
        // INVARIANT: It was created.
        Ok(Self {
            queue,
            ring,
            doorbell,
            log_size,
            next: 0,
            pf,
        })
    }

    /// The number of the queue.
    pub(super) fn number(&self) -> u32 {
        // SAFETY: By the type invariants it was set when the queue was created, and stays.
        unsafe { (*self.queue.raw.get()).cqn }
    }

    /// Has the next entry be told of, or the present one at once if there is one.
    pub(super) fn arm(&mut self, uar: &Uar) {
        // SAFETY: The queue is one by the type invariants, and the doorbells are mapped.
        unsafe { bindings::mlx5_arm_cq(self.queue.raw.get(), uar.map(), self.next) };
    }

    /// The next entry, if there is one; it stays the next until [`Self::consume`].
    ///
    /// # Errors
    ///
    /// `EIO` if it is not of a message with an immediate.
    pub(super) fn peek(&self) -> Result<Option<Received>> {
        let slot = self.next & ((1 << self.log_size) - 1);
        // CAST: A number of bytes of the ring.
        let at = slot as usize * ENTRY;
        let kind: u8 = self.ring.load(at + bindings::OFFSETOF_CQE_OP_OWN)?;
        let owner = self.next >> self.log_size & 1;
        if kind & INVALID == INVALID || u32::from(kind & 1) != owner {
            return Ok(None);
        }
        // The rest of the entry was written before its owner.
        dma_mb(Read);
        if kind >> 4 != RECEIVED_IMMEDIATE {
            return Err(EIO);
        }
        let immediate: u32 = self.ring.load(at + bindings::OFFSETOF_CQE_IMMEDIATE)?;
        let bytes: u32 = self.ring.load(at + bindings::OFFSETOF_CQE_BYTE_CNT)?;
        let counter: u16 = self.ring.load(at + bindings::OFFSETOF_CQE_WQE_COUNTER)?;
        Ok(Some(Received {
            immediate: u32::from_be(immediate),
            bytes: u32::from_be(bytes),
            counter: u16::from_be(counter),
        }))
    }

    /// Done with the next entry.
    pub(super) fn consume(&mut self) {
        self.next = (self.next + 1) & INDEX;
        self.doorbell.set(self.next);
    }

    /// Ends the queue. Where the firmware does not, the memory is kept, as it may write there. The
    /// queue stays, as the error, if there was no memory for the command, and that was not the `last`
    /// try.
    pub(super) fn destroy(self, last: bool) -> Result<(), Self> {
        let raw = self.queue.raw.get();
        // What it does before the command may be done twice.
        // SAFETY: The PF is up by the type invariants. Nobody refers to the queue any more.
        let result = to_result(unsafe { bindings::mlx5_core_destroy_cq(self.pf.as_raw(), raw) });
        match result {
            Ok(()) => return Ok(()),
            Err(ENOMEM) if !last => return Err(self),
            Err(_) => {}
        }
        pr_warn!("a completion queue of a page tracker is lost\n");
        // The event queues do not know it any more; this waits for those that did.
        // SAFETY: The interrupt is that of its event queue.
        unsafe { bindings::synchronize_irq((*raw).irqn) };
        mem::forget(self);
        Ok(())
    }
}
