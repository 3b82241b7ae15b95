// SPDX-License-Identifier: GPL-2.0

//! Locks of generic code.
//!
//! C header: [`include/linux/lockdep.h`](srctree/include/linux/lockdep.h).
//!
//! A generic function is compiled in each module that uses it. The statics in it are shared, so
//! there is one lock class, but each module has its own copy of the string that names it, and
//! lockdep warns of a class with two names. Here the name is where the class is.

/// Evaluates to the name and the class of a lock, or of a [`Task`](crate::task::Task), both from the
/// crate that this stands in.
#[macro_export]
macro_rules! lock_class {
    ($name:literal) => {{
        #[inline(never)]
        fn class() -> (
            &'static ::kernel::str::CStr,
            ::core::pin::Pin<&'static ::kernel::sync::LockClassKey>,
        ) {
            (::kernel::c_str!($name), ::kernel::static_lock_class!())
        }
        class()
    }};
}

/// As the macro of the same name in [`kernel::sync`], for generic code.
#[macro_export]
macro_rules! new_mutex {
    ($inner:expr, $name:literal $(,)?) => {{
        let (name, key) = $crate::lock_class!($name);
        ::kernel::sync::Mutex::new($inner, name, key)
    }};
}

/// As the macro of the same name in [`kernel::sync`], for generic code.
#[macro_export]
macro_rules! new_spinlock {
    ($inner:expr, $name:literal $(,)?) => {{
        let (name, key) = $crate::lock_class!($name);
        ::kernel::sync::SpinLock::new($inner, name, key)
    }};
}
