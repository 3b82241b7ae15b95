// SPDX-License-Identifier: GPL-2.0

//! Work that is owned: it is cancelled before what it works on is dropped.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h).
//!
//! The work items of the `kernel` crate hold a reference to their data and cannot be waited for, so
//! they may outlive the module that has their code. A [`Task`] embeds its data, runs on a [`Queue`]
//! of the module, one run at a time, and its destructor waits for the last run.

use crate::bindings;
use core::{
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    ffi::c_ulong,
    prelude::*,
    sync::{
        Arc,
        LockClassKey, //
    },
    time::Jiffies,
    types::Opaque, //
};

/// A work queue of a driver; destroying it waits for what is queued.
pub struct Queue(NonNull<bindings::workqueue_struct>);

// SAFETY: The functions of a work queue may be called on any thread.
unsafe impl Send for Queue {}
// SAFETY: As above.
unsafe impl Sync for Queue {}

impl Queue {
    /// Allocates a queue that is bound to no processor.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory.
    pub fn new(name: &CStr) -> Result<Arc<Self>> {
        // SAFETY: `name` is a valid string; it is copied.
        let wq = unsafe { bindings::vfio_alloc_workqueue(name.as_char_ptr()) };
        let queue = Self(NonNull::new(wq).ok_or(ENOMEM)?);
        Ok(Arc::new(queue, GFP_KERNEL)?)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: The queue is valid. Each task has a reference to its queue, so no task can be
        // queued during or after this.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}

/// What a [`Task`] does.
pub trait Run: Send + Sync + 'static {
    /// One run, in process context. It must not drop or cancel its own task.
    fn run(task: &Task<Self>)
    where
        Self: Sized;
}

/// Data of type `T` and the work on it.
///
/// # Invariants
///
/// `work` is initialised with `Self::callback` and is only queued on `queue`.
#[pin_data(PinnedDrop)]
pub struct Task<T: Run> {
    #[pin]
    work: Opaque<bindings::delayed_work>,
    queue: Arc<Queue>,
    #[pin]
    data: T,
}

// SAFETY: A `delayed_work` may be used on any thread, and so may `T`.
unsafe impl<T: Run> Send for Task<T> {}
// SAFETY: As above.
unsafe impl<T: Run> Sync for Task<T> {}

impl<T: Run> Task<T> {
    /// Prepares a task; nothing runs before [`Self::start`].
    pub fn new<E>(
        queue: Arc<Queue>,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
        data: impl PinInit<T, E>,
    ) -> impl PinInit<Self, Error>
    where
        Error: From<E>,
    {
        // INVARIANT: The work gets `callback` here.
        try_pin_init!(Self {
            // SAFETY: The slot is valid for writes and does not move; name and key are static.
            work <- Opaque::ffi_init(|slot| unsafe {
                bindings::vfio_init_delayed_work(
                    slot,
                    Some(Self::callback),
                    name.as_char_ptr(),
                    key.as_ptr(),
                )
            }),
            queue,
            data <- data,
        }? Error)
    }

    /// Has the task run soon. While it waits to run this changes nothing; while it runs, it runs
    /// once more afterwards.
    pub fn start(&self) {
        self.start_after(0);
    }

    /// As [`Self::start`], `delay` from now.
    pub fn start_after(&self, delay: Jiffies) {
        // SAFETY: Queue and work are valid by the type invariants, and the destructor cancels.
        unsafe {
            bindings::queue_delayed_work_on(
                bindings::wq_misc_consts_WORK_CPU_UNBOUND as i32,
                self.queue.0.as_ptr(),
                self.work.get(),
                delay as c_ulong,
            )
        };
    }

    /// Ends what is queued, and waits for a run that has begun. Must not be called by the task
    /// itself, nor with a lock that its run takes.
    pub fn cancel(&self) {
        // SAFETY: The work is valid by the type invariants.
        unsafe { bindings::cancel_delayed_work_sync(self.work.get()) };
    }

    /// # Safety
    ///
    /// `work` must be the `work` of a `delayed_work` in a pinned `Self`.
    unsafe extern "C" fn callback(work: *mut bindings::work_struct) {
        let offset = core::mem::offset_of!(bindings::delayed_work, work);
        // SAFETY: By the safety requirements the pointer is inside a `delayed_work`.
        let delayed = unsafe { work.byte_sub(offset) }.cast::<Opaque<bindings::delayed_work>>();
        // SAFETY: By the safety requirements this is the field of a `Self`.
        let this = unsafe { kernel::container_of!(delayed, Self, work) };
        // SAFETY: The destructor waits for this run, so `Self` is valid until it returns.
        T::run(unsafe { &*this });
    }
}

impl<T: Run> Deref for Task<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

#[pinned_drop]
impl<T: Run> PinnedDrop for Task<T> {
    fn drop(self: Pin<&mut Self>) {
        self.cancel();
    }
}
