// SPDX-License-Identifier: GPL-2.0

//! What the PF's event queues say of a page tracker, and waiting for it.
//!
//! C headers: [`include/linux/mlx5/eq.h`](srctree/include/linux/mlx5/eq.h),
//! [`include/linux/completion.h`](srctree/include/linux/completion.h).

use crate::{
    bindings,
    command::{
        tracker::PAGE_TRACK,
        Pf, //
    },
};
use kernel::{
    container_of,
    error::to_result,
    ffi::{
        c_int,
        c_long,
        c_ulong,
        c_void, //
    },
    prelude::*,
    sync::{
        atomic::{
            ordering,
            Atomic, //
        },
        Arc,
    },
    time::Jiffies,
    types::Opaque, //
};

/// Why nothing more comes of a tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was ended, or the PF goes down.
    Gone,
    /// The firmware cannot go on.
    Failed,
}

/// What happened to one tracker. The functions that note something may be called in any context.
#[pin_data]
pub(super) struct Events {
    /// Completed once for each thing that is noted.
    #[pin]
    signal: Opaque<bindings::completion>,
    gone: Atomic<u32>,
    failed: Atomic<u32>,
    changed: Atomic<u32>,
}

// SAFETY: The signal may be used on any thread.
unsafe impl Send for Events {}
// SAFETY: As above.
unsafe impl Sync for Events {}

impl Events {
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            signal <- Opaque::ffi_init(|slot: *mut bindings::completion| {
                // SAFETY: The slot is valid for writes, and does not move.
                unsafe { bindings::init_completion(slot) };
            }),
            gone: Atomic::new(0),
            failed: Atomic::new(0),
            changed: Atomic::new(0),
        })
    }

    fn note(&self, flag: &Atomic<u32>) {
        flag.store(1, ordering::Release);
        self.wake();
    }

    /// There may be something to receive.
    pub(super) fn wake(&self) {
        // SAFETY: The signal was initialised, and lives as long as `self`.
        unsafe { bindings::complete(self.signal.get()) };
    }

    /// The tracker is ended.
    pub(super) fn gone(&self) {
        self.note(&self.gone);
    }

    /// The tracker's state may be another one.
    pub(super) fn change(&self) {
        self.note(&self.changed);
    }

    /// The tracker, or what it reports by, has failed.
    pub(super) fn fail(&self) {
        self.note(&self.failed);
    }

    /// Why nothing more comes.
    pub(super) fn end(&self) -> Option<End> {
        if self.gone.load(ordering::Acquire) != 0 {
            Some(End::Gone)
        } else if self.failed.load(ordering::Acquire) != 0 {
            Some(End::Failed)
        } else {
            None
        }
    }

    /// Whether the tracker's state may be another one since this was asked.
    pub(super) fn take_changed(&self) -> bool {
        self.changed.xchg(0, ordering::Full) != 0
    }

    /// Waits until something is noted, or for so long; returns whether something was.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` if the calling thread is killed.
    pub(super) fn wait(&self, most: Jiffies) -> Result<bool> {
        // SAFETY: The signal was initialised, and lives as long as `self`.
        let left: c_long = unsafe {
            bindings::wait_for_completion_killable_timeout(self.signal.get(), most as c_ulong)
        };
        match left {
            0 => Ok(false),
            1.. => Ok(true),
            _ => Err(ERESTARTSYS),
        }
    }
}

/// Hears of what happens to the tracker's objects.
///
/// # Invariants
///
/// `notifier` is in the chain of `pf` from `new` on until this is dropped.
#[pin_data(PinnedDrop)]
pub(super) struct Subscription {
    #[pin]
    notifier: Opaque<bindings::mlx5_nb>,
    pf: Pf,
    events: Arc<Events>,
    /// The queue pairs.
    qpns: [u32; 2],
}

// SAFETY: The block is used by the chain alone, which takes care of itself.
unsafe impl Send for Subscription {}
// SAFETY: As above.
unsafe impl Sync for Subscription {}

impl Subscription {
    /// Of any tracker that changes its state, and of failures of these queue pairs. The PF must be up,
    /// and stay so until this is dropped.
    pub(super) fn new(pf: Pf, events: Arc<Events>, qpns: [u32; 2]) -> Result<Pin<KBox<Self>>> {
        // INVARIANT: It is put there here, after which nothing fails.
        KBox::try_pin_init(
            try_pin_init!(Self {
                pf,
                events,
                qpns,
                notifier <- Opaque::try_ffi_init(|slot: *mut bindings::mlx5_nb| {
                    // SAFETY: The slot is valid for writes; all zeroes are valid for it.
                    unsafe { slot.write(pin_init::zeroed()) };
                    // SAFETY: As above.
                    let block = unsafe { &mut *slot };
                    block.nb.notifier_call = Some(Self::notify);
                    block.event_type = bindings::MLX5_EVENT_TYPE_NOTIFY_ANY;
                    // SAFETY: The PF is up by the requirements of this function. The block stays where
                    // it is, and the fields before it are there.
                    to_result(unsafe { bindings::mlx5_eq_notifier_register(pf.as_raw(), slot) })
                }),
            }? Error),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// # Safety
    ///
    /// Called by the PF's event queues, with the block of a `Self` and an entry of a queue.
    unsafe extern "C" fn notify(
        block: *mut bindings::notifier_block,
        event: c_ulong,
        entry: *mut c_void,
    ) -> c_int {
        let notifier = block.cast::<Opaque<bindings::mlx5_nb>>();
        // SAFETY: By the safety requirements; the block is the first field of the `mlx5_nb`.
        let this = unsafe { &*container_of!(notifier, Self, notifier) };
        let entry = entry.cast::<bindings::mlx5_eqe>();
        // CAST: The number of an event has 8 bits.
        match event as u8 {
            bindings::MLX5_EVENT_TYPE_WQ_CATAS_ERROR
            | bindings::MLX5_EVENT_TYPE_WQ_INVAL_REQ_ERROR
            | bindings::MLX5_EVENT_TYPE_WQ_ACCESS_ERROR => {
                // SAFETY: The entry is of such an event.
                let qpn = unsafe { bindings::mlx5_eqe_qpn(entry) };
                if this.qpns.iter().any(|ours| i64::from(*ours) == qpn) {
                    this.events.fail();
                }
            }
            // The tracker of another function is of the same type. To ask for the state of ours does
            // no harm, and its number may not be known yet.
            bindings::MLX5_EVENT_TYPE_OBJECT_CHANGE => {
                // SAFETY: The entry is of such an event.
                if unsafe { bindings::mlx5_eqe_obj_type(entry) } == PAGE_TRACK {
                    this.events.change();
                }
            }
            _ => {}
        }
        // `NOTIFY_OK`
        1
    }
}

const _: () = assert!(core::mem::offset_of!(bindings::mlx5_nb, nb) == 0);

#[pinned_drop]
impl PinnedDrop for Subscription {
    fn drop(self: Pin<&mut Self>) {
        // This waits for those who call it.
        // SAFETY: The block is in the chain by the type invariants, so the PF is up.
        unsafe { bindings::mlx5_eq_notifier_unregister(self.pf.as_raw(), self.notifier.get()) };
    }
}
