// SPDX-License-Identifier: GPL-2.0

//! A VF as the firmware of its PF sees it.
//!
//! C header: [`include/linux/mlx5/driver.h`](srctree/include/linux/mlx5/driver.h).
//!
//! The PF takes its VFs from the firmware before it goes down (unbind, suspend, recovery), and tells
//! by a notifier; if the VFs are still there when it is up again, it tells that too. In between no
//! command may be issued. What the firmware holds for the VF ([`Object`]) goes with the PF: the
//! notifier takes it back while that still works.
//!
//! Locks: the notifier is called with locks of the PF held, and waits for what is inside
//! ([`Access`]). So whoever is inside must not wait for anything but the firmware.

use crate::{
    bindings,
    command::{
        Command,
        Failure,
        Kind,
        Mode,
        Observer,
        Pf,
        QueryCapability, //
    },
    layout::capability::{
        cmd_hca_cap as general,
        cmd_hca_cap_2 as general_2, //
    },
};
use core::{
    mem,
    ops::DerefMut,
    ptr, //
};
use kernel::{
    container_of,
    device,
    devres,
    error::to_result,
    ffi::{
        c_int,
        c_ulong,
        c_void, //
    },
    fmt,
    new_condvar,
    new_mutex,
    pci,
    prelude::*,
    sync::{
        Arc,
        CondVar,
        Mutex, //
    },
    time::{
        Instant,
        Monotonic, //
    },
    types::Opaque, //
};

/// What the device can do; constant.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities {
    /// The number by which commands name the function.
    pub vhca_id: u16,
    /// An image can be taken in chunks.
    pub chunks: bool,
    /// The device can track which memory the function writes.
    pub tracker: bool,
    /// The answer to [`QueryMigrationState`](crate::command::QueryMigrationState) has a state.
    pub migration_state: bool,
}

/// Why a device cannot be migrated. It is a VFIO device all the same.
#[derive(Clone, Copy, Debug)]
pub enum Unsupported {
    /// It is no VF, or `mlx5_core` does not drive its PF now.
    NoPf,
    /// The firmware lacks this capability, or the administrator did not enable it for the VF.
    Lacks(&'static str),
    /// The firmware does not tell.
    Failure(Failure),
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPf => f.write_str("no PF with mlx5_core"),
            Self::Lacks(capability) => write!(f, "no capability {capability}"),
            Self::Failure(failure) => fmt::Display::fmt(failure, f),
        }
    }
}

impl From<Failure> for Unsupported {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Error> for Unsupported {
    fn from(error: Error) -> Self {
        Self::Failure(error.into())
    }
}

/// Something that has to do with the firmware, and goes with the PF; see [`Held`](crate::held::Held).
pub(crate) trait Object: Send + Sync {
    /// No command may begin any more: whoever waits for the device wakes up and leaves.
    fn interrupt(&self) {}

    /// The PF goes down: takes back what the firmware has, if anything. Those that were attached
    /// last come first.
    fn revoke(&self, access: &Access<'_>);

    /// Whether nobody uses it any more, but it could not be taken back.
    fn is_left(&self) -> bool;

    /// Tries that once more; whether it went well.
    fn retry(&self, access: &Access<'_>) -> bool;
}

/// Whether commands may be issued.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Only those that take something back.
    Closing,
    /// The firmware holds nothing for the function.
    Closed,
}

struct Gate {
    phase: Phase,
    /// How many [`Access`]es there are.
    inside: usize,
}

/// # Invariants
///
/// - `pf` is there, and its interface up, while `gate` is not closed or there is anyone inside.
#[pin_data]
struct Inner {
    pf: Pf,
    vf: c_int,
    capabilities: Capabilities,
    observer: Arc<dyn Observer>,
    #[pin]
    notifier: Opaque<bindings::notifier_block>,
    #[pin]
    gate: Mutex<Gate>,
    #[pin]
    left: CondVar,
    #[pin]
    objects: Mutex<KVec<Arc<dyn Object>>>,
}

// SAFETY: Only `notifier` is not `Send` by itself; it is used by the notifier chain alone.
unsafe impl Send for Inner {}
// SAFETY: As above.
unsafe impl Sync for Inner {}

/// A VF that can be migrated. Clones are the same function.
///
/// After the VF was unbound from its driver nothing can be done with it.
#[derive(Clone)]
pub struct Function(Arc<Inner>);

impl Function {
    /// Finds the firmware's side of `vf`, which is being bound to its driver, until it is unbound.
    /// `observer` is told of the commands from then on.
    pub fn new(
        vf: &pci::Device<device::Bound>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, Unsupported> {
        let raw = ptr::from_ref(vf).cast_mut().cast::<bindings::pci_dev>();
        let locked = Locked::new(raw).ok_or(Unsupported::NoPf)?;
        // SAFETY: The PF is there and up while it is locked.
        let pf = unsafe { Pf::new(locked.0) };
        // SAFETY: `pci::Device` is a transparent wrapper of `struct pci_dev`.
        let number = unsafe { bindings::pci_iov_vf_id(raw) };
        to_result(number)?;
        let capabilities = query(pf, number)?;
        let inner = Arc::pin_init(
            try_pin_init!(Inner {
                pf,
                vf: number,
                capabilities,
                observer,
                notifier <- Opaque::ffi_init(|slot: *mut bindings::notifier_block| {
                    // SAFETY: The slot is valid for writes; all zeroes are valid for it.
                    unsafe { slot.write(pin_init::zeroed()) };
                    // SAFETY: As above.
                    unsafe { (*slot).notifier_call = Some(Inner::notify) };
                }),
                // INVARIANT: The PF is up, and it will tell.
                gate <- new_mutex!(Gate { phase: Phase::Open, inside: 0 }, "mlx5::Function::gate"),
                left <- new_condvar!("mlx5::Function::left"),
                objects <- new_mutex!(KVec::new(), "mlx5::Function::objects"),
            }? Error),
            GFP_KERNEL,
        )?;
        // SAFETY: The PF is there. The block stays where it is until it is unregistered, by
        // `Registration` below.
        to_result(unsafe {
            bindings::mlx5_sriov_blocking_notifier_register(locked.0, number, inner.notifier.get())
        })?;
        let registration = Registration(inner.clone());
        drop(locked);
        // The PF waits for its VFs to be unbound before it is gone for good.
        devres::register(vf.as_ref(), registration, GFP_KERNEL)?;
        Ok(Self(inner))
    }

    /// What the device can do.
    pub fn capabilities(&self) -> &Capabilities {
        &self.0.capabilities
    }

    /// Keeps the PF from going down until the answer is dropped. Any number of threads may be inside.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` if it is down, or about to go down.
    pub fn enter(&self) -> Result<Access<'_>> {
        self.0.enter(|phase| phase == Phase::Open).ok_or(ENOTCONN)
    }

    /// As [`enter`](Self::enter), to take something back; `None` if the firmware has it no longer.
    pub(crate) fn enter_to_release(&self) -> Option<Access<'_>> {
        self.0.enter(|phase| phase != Phase::Closed)
    }

    /// From now on `object` is told when the PF goes down. The caller is inside.
    ///
    /// # Errors
    ///
    /// - `ENOTCONN` if the PF is about to.
    /// - `ENOMEM`
    pub(crate) fn attach(&self, object: Arc<dyn Object>) -> Result {
        let mut objects = self.0.objects.lock();
        // Who closes the gate looks at the list after that.
        if self.0.gate.lock().phase != Phase::Open {
            return Err(ENOTCONN);
        }
        Ok(objects.push(object, GFP_KERNEL)?)
    }

    /// No longer, if it still is.
    pub(crate) fn detach(&self, object: *const ()) {
        let mut objects = self.0.objects.lock();
        let at = objects
            .iter()
            .position(|other| ptr::from_ref(&**other).cast::<()>() == object);
        let gone = at.and_then(|at| objects.remove(at).ok());
        drop(objects);
        drop(gone);
    }

    /// Tries once more to take back what nobody uses any more, but a command for it could not be
    /// given, as where memory was scarce. Returns whether nothing of that is left; while something is,
    /// the caller should come again, later.
    pub fn take_back(&self) -> bool {
        // If the PF goes down, that takes back all.
        while let Ok(access) = self.enter() {
            let objects = self.0.objects.lock();
            // A domain can only go after its keys.
            let left = objects.iter().rev().find(|object| object.is_left());
            let Some(left) = left.cloned() else { break };
            drop(objects);
            if !left.retry(&access) {
                return false;
            }
            self.detach(Arc::as_ptr(&left).cast());
        }
        true
    }
}

/// The gating of the kernel's own driver.
fn query(pf: Pf, vf: c_int) -> Result<Capabilities, Unsupported> {
    // Function 0 is the PF.
    let number = u16::try_from(vf + 1).map_err(Error::from)?;
    let ask = |kind, mode, function| {
        pf.execute(
            0,
            &QueryCapability {
                kind,
                mode,
                function,
            },
        )
    };
    let lacks = |what| Err(Unsupported::Lacks(what));

    let pf_general = ask(Kind::General, Mode::Current, None)?;
    if !pf_general.has(general::migration) {
        return lacks("migration");
    }
    if !pf_general.has(general::hca_cap_2) {
        return lacks("hca_cap_2");
    }
    let pf_general_2 = ask(Kind::General2, Mode::Current, None)?;
    if !pf_general_2.has(general_2::migration_multi_load) {
        return lacks("migration_multi_load");
    }
    if !pf_general_2.has(general_2::migration_tracking_state) {
        return lacks("migration_tracking_state");
    }
    if !ask(Kind::General2, Mode::Maximum, Some(number))?.has(general_2::migratable) {
        return lacks("migratable");
    }
    let vhca_id = ask(Kind::General, Mode::Current, Some(number))?.get(general::vhca_id);
    Ok(Capabilities {
        vhca_id: vhca_id as u16,
        chunks: pf_general_2.has(general_2::migration_in_chunks),
        tracker: pf_general.has(general::adv_virtualization),
        migration_state: pf_general_2.has(general_2::migration_state),
    })
}

/// The PF of a VF, which cannot change its state meanwhile.
struct Locked(*mut bindings::mlx5_core_dev);

impl Locked {
    fn new(vf: *mut bindings::pci_dev) -> Option<Self> {
        // SAFETY: The caller has it from a `pci::Device`, so it is valid.
        let core = unsafe { bindings::mlx5_vf_get_core_dev(vf) };
        (!core.is_null()).then_some(Self(core))
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: `new` got it.
        unsafe { bindings::mlx5_vf_put_core_dev(self.0) };
    }
}

impl Inner {
    /// # Safety
    ///
    /// Called by the notifier chain of the VF with the block of an `Inner`.
    unsafe extern "C" fn notify(
        block: *mut bindings::notifier_block,
        event: c_ulong,
        _data: *mut c_void,
    ) -> c_int {
        // SAFETY: By the safety requirements; `Opaque` is a transparent wrapper.
        let inner = unsafe { container_of!(Opaque::cast_from(block), Self, notifier) };
        // SAFETY: The registration of the notifier has a reference.
        let inner = unsafe { &*inner };
        match event {
            bindings::MLX5_PF_NOTIFY_DISABLE_VF => inner.close(),
            // INVARIANT: The PF is up.
            bindings::MLX5_PF_NOTIFY_ENABLE_VF => inner.gate.lock().phase = Phase::Open,
            _ => {}
        }
        0
    }

    fn enter(&self, may: impl FnOnce(Phase) -> bool) -> Option<Access<'_>> {
        let mut gate = self.gate.lock();
        may(gate.phase).then(|| {
            gate.inside += 1;
            // INVARIANT: Who closes the gate waits until nobody is inside.
            Access(self)
        })
    }

    /// Returns when nobody is inside, and the firmware holds nothing for the function.
    fn close(&self) {
        let mut gate = self.gate.lock();
        if gate.phase == Phase::Closed {
            return;
        }
        gate.phase = Phase::Closing;
        drop(gate);
        for object in self.objects.lock().iter() {
            object.interrupt();
        }
        self.wait_until_left();
        if let Some(access) = self.enter(|_| true) {
            // Nothing more is attached. An object that is dropped meanwhile is not in the list, and
            // either it or this is the one that takes back.
            let mut objects = mem::take(&mut *self.objects.lock());
            while let Some(object) = objects.pop() {
                object.revoke(&access);
            }
        }
        self.wait_until_left().phase = Phase::Closed;
    }

    fn wait_until_left(&self) -> impl DerefMut<Target = Gate> + '_ {
        let mut gate = self.gate.lock();
        while gate.inside != 0 {
            self.left.wait(&mut gate);
        }
        gate
    }
}

/// The function is known to the PF's notifier chain.
struct Registration(Arc<Inner>);

impl Drop for Registration {
    fn drop(&mut self) {
        let inner = &self.0;
        // This waits for a notification that is under way.
        // SAFETY: The VF is being unbound, for which the PF waits; the block was registered.
        unsafe {
            bindings::mlx5_sriov_blocking_notifier_unregister(
                inner.pf.as_raw(),
                inner.vf,
                inner.notifier.get(),
            )
        };
        inner.close();
    }
}

/// The PF is up, and stays so.
pub struct Access<'a>(&'a Inner);

impl Access<'_> {
    /// Does a command.
    ///
    /// # Errors
    ///
    /// See [`Failure`].
    pub fn execute<C: Command>(&self, command: &C) -> Result<C::Output, Failure> {
        let inner = self.0;
        let start = Instant::<Monotonic>::now();
        let result = inner.pf.execute(inner.capabilities.vhca_id, command);
        let ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(0);
        let failure = result.as_ref().err().copied();
        inner.observer.command(C::OPCODE, ns, failure);
        result
    }

    /// The PF.
    pub(crate) fn pf(&self) -> Pf {
        self.0.pf
    }
}

impl Drop for Access<'_> {
    fn drop(&mut self) {
        let mut gate = self.0.gate.lock();
        gate.inside -= 1;
        if gate.inside == 0 {
            self.0.left.notify_all();
        }
    }
}
