// SPDX-License-Identifier: GPL-2.0

//! Memory control groups: whom memory is charged to that is allocated on behalf of a process.
//!
//! C headers: [`include/linux/memcontrol.h`](srctree/include/linux/memcontrol.h),
//! [`include/linux/sched/mm.h`](srctree/include/linux/sched/mm.h).
//!
//! A work queue belongs to nobody, so what its work allocates for a user would be charged to
//! nobody.

use crate::bindings;

/// The memory control group of a process.
pub struct Charge(*mut bindings::mem_cgroup);

// SAFETY: A memory control group may be used and put on any thread.
unsafe impl Send for Charge {}
// SAFETY: As above; nothing here changes it.
unsafe impl Sync for Charge {}

impl Charge {
    /// That of the calling process.
    pub fn current() -> Self {
        // SAFETY: The function has no preconditions in process context; the reference is `drop`'s.
        Self(unsafe { bindings::vfio_get_current_memcg() })
    }

    /// Charges accounted memory that `act` allocates to this group. In process context.
    pub fn scope<T>(&self, act: impl FnOnce() -> T) -> T {
        /// Ends the scope.
        struct Restore(*mut bindings::mem_cgroup);

        impl Drop for Restore {
            fn drop(&mut self) {
                // SAFETY: The group is the one that was active before, in the same context.
                unsafe { bindings::vfio_set_active_memcg(self.0) };
            }
        }

        // SAFETY: The group is valid, or null, for as long as it is active.
        let _restore = Restore(unsafe { bindings::vfio_set_active_memcg(self.0) });
        act()
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        // SAFETY: The reference is that of `current`; null is allowed.
        unsafe { bindings::vfio_put_memcg(self.0) };
    }
}
