// SPDX-License-Identifier: GPL-2.0

//! PCI-shaped VFIO devices without hardware.
//!
//! C headers: [`include/linux/vfio.h`](srctree/include/linux/vfio.h),
//! [`include/uapi/linux/vfio.h`](srctree/include/uapi/linux/vfio.h).
//!
//! Decodes the file operations of the device into calls with plain values: user memory is only
//! touched here, through a buffer of this module and with no lock of the driver held.

use crate::{
    bindings,
    debugfs::Dir,
    device::{
        self,
        Device,
        Owned, //
    },
    dma::UserMemory,
    irq,
    log::{
        self,
        Loggable,
        Operations as _, //
    },
    memory::{
        self,
        OFFSET_SHIFT, //
    },
    migration::{
        self,
        Operations as _, //
    },
};
use core::marker::PhantomData;
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    ffi::{
        c_char,
        c_int,
        c_long,
        c_uint,
        c_ulong, //
    },
    prelude::*,
    sync::Arc,
    uaccess::{
        UserPtr,
        UserSlice,
        UserSliceReader, //
    },
};

/// Regions of a PCI device (uAPI `VFIO_PCI_NUM_REGIONS`).
pub const NUM_REGIONS: u32 = bindings::VFIO_PCI_NUM_REGIONS;
/// Region of the first BAR; the others follow.
pub const REGION_BAR0: u32 = bindings::VFIO_PCI_BAR0_REGION_INDEX;
/// Region of the third BAR.
pub const REGION_BAR2: u32 = bindings::VFIO_PCI_BAR2_REGION_INDEX;
/// Region of the configuration space.
pub const REGION_CONFIG: u32 = bindings::VFIO_PCI_CONFIG_REGION_INDEX;
/// Interrupt index of MSI-X.
pub const IRQ_MSIX: u32 = bindings::VFIO_PCI_MSIX_IRQ_INDEX;

/// The most that passes in one call between user space and [`Operations::read`].
const CHUNK: usize = 256;

/// How a region is accessed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// By naturally aligned words of 1, 2, 4 or 8 bytes.
    Words,
    /// By bytes of any number, and by `mmap()`.
    Memory,
}

/// A region of the device.
#[derive(Clone, Copy)]
pub struct Region {
    /// Bytes; 0 for a region that the device does not have.
    pub size: u64,
    /// How it is accessed.
    pub access: Access,
}

/// A PCI-shaped device without hardware.
pub trait Operations: Loggable {
    /// The region with the index `index`, below [`NUM_REGIONS`].
    fn region(&self, index: u32) -> Region;

    /// Reads `out.len()` bytes, inside the region and as its [`Access`] says.
    fn read(&self, region: u32, offset: u64, out: &mut [u8]) -> Result;

    /// Writes `data`, inside the region and as its [`Access`] says.
    fn write(&self, region: u32, offset: u64, data: &[u8]) -> Result;

    /// Maps part of a region that is [`Access::Memory`].
    fn mmap(&self, region: u32, area: memory::Area<'_>) -> Result;

    /// Vectors of the interrupt index `index`.
    fn irqs(&self, index: u32) -> u32;

    /// Changes the vectors of index `index` from `start` on.
    fn set_irqs(&self, index: u32, start: usize, request: irq::Request) -> Result;
}

/// A device's data, with what this module has for it.
#[pin_data]
struct Data<T> {
    memory: Arc<UserMemory>,
    #[pin]
    driver: T,
}

impl<T: device::Operations> device::Operations for Data<T> {
    const NAME: &'static CStr = T::NAME;
    type Migration = T::Migration;

    fn migration(&self) -> &T::Migration {
        self.driver.migration()
    }
}

impl<T: Loggable> Loggable for Data<T> {
    type Log = T::Log;

    fn log(&self) -> Option<&T::Log> {
        self.driver.log()
    }
}

struct VTable<T>(PhantomData<T>);

impl<T: Operations> VTable<T> {
    /// # Safety
    ///
    /// `device` must be a registered device of this type, which stays valid for `'a`.
    unsafe fn data<'a>(device: *mut bindings::vfio_device) -> &'a Data<T> {
        // SAFETY: By the safety requirements.
        unsafe { Device::<Data<T>>::from_raw(device) }.data()
    }

    /// # Safety
    ///
    /// Called by the VFIO core as the last use of a device of this type.
    unsafe extern "C" fn release(device: *mut bindings::vfio_device) {
        // SAFETY: By the safety requirements.
        unsafe { Device::<Data<T>>::drop_data(device) };
    }

    /// # Safety
    ///
    /// For each callback below: called by the VFIO core for a registered device of this type.
    unsafe extern "C" fn open(device: *mut bindings::vfio_device) -> c_int {
        // SAFETY: By the safety requirements.
        let data = unsafe { Self::data(device) };
        from_result(|| {
            // SAFETY: The device counts as open from before this call until after `close`, or
            // until after this call where it fails; this is its memory.
            unsafe { data.memory.attach(device) };
            data.driver
                .migration()
                .open()
                .inspect_err(|_| data.memory.detach())?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// As [`Self::open`].
    unsafe extern "C" fn close(device: *mut bindings::vfio_device) {
        // SAFETY: By the safety requirements.
        let data = unsafe { Self::data(device) };
        data.driver.migration().close();
        if let Some(log) = data.driver.log() {
            log.stop();
        }
        data.memory.detach();
    }

    /// # Safety
    ///
    /// As [`Self::open`], with `pos` valid for reads and writes.
    unsafe extern "C" fn read(
        device: *mut bindings::vfio_device,
        buf: *mut c_char,
        count: usize,
        pos: *mut bindings::loff_t,
    ) -> isize {
        // SAFETY: By the safety requirements.
        let data = unsafe { Self::data(device) };
        // SAFETY: By the safety requirements.
        let at = unsafe { *pos };
        let mut out = UserSlice::new(UserPtr::from_ptr(buf.cast()), count).writer();
        let done = transfer(&data.driver, at, count, |region, offset, len| {
            let mut bytes = [0; CHUNK];
            let bytes = bytes.get_mut(..len).ok_or(EINVAL)?;
            data.driver.read(region, offset, bytes)?;
            out.write_slice(bytes)
        });
        // SAFETY: By the safety requirements.
        finish(done, unsafe { &mut *pos })
    }

    /// # Safety
    ///
    /// As [`Self::open`], with `pos` valid for reads and writes.
    unsafe extern "C" fn write(
        device: *mut bindings::vfio_device,
        buf: *const c_char,
        count: usize,
        pos: *mut bindings::loff_t,
    ) -> isize {
        // SAFETY: By the safety requirements.
        let data = unsafe { Self::data(device) };
        // SAFETY: By the safety requirements.
        let at = unsafe { *pos };
        let mut input = UserSlice::new(UserPtr::from_ptr(buf.cast_mut().cast()), count).reader();
        let done = transfer(&data.driver, at, count, |region, offset, len| {
            let mut bytes = [0; CHUNK];
            let bytes = bytes.get_mut(..len).ok_or(EINVAL)?;
            input.read_slice(bytes)?;
            data.driver.write(region, offset, bytes)
        });
        // SAFETY: By the safety requirements.
        finish(done, unsafe { &mut *pos })
    }

    /// # Safety
    ///
    /// As [`Self::open`].
    unsafe extern "C" fn ioctl(
        device: *mut bindings::vfio_device,
        cmd: c_uint,
        arg: c_ulong,
    ) -> c_long {
        // SAFETY: By the safety requirements.
        let data = unsafe { Self::data(device) };
        match ioctl(&data.driver, cmd, arg) {
            Ok(()) => 0,
            Err(e) => e.to_errno() as c_long,
        }
    }

    /// # Safety
    ///
    /// As [`Self::open`], with `info` valid for reads and writes.
    unsafe extern "C" fn region_info(
        device: *mut bindings::vfio_device,
        info: *mut bindings::vfio_region_info,
        _caps: *mut bindings::vfio_info_cap,
    ) -> c_int {
        // SAFETY: By the safety requirements.
        let data = unsafe { Self::data(device) };
        // SAFETY: By the safety requirements; the core passes its own copy.
        let info = unsafe { &mut *info };
        if info.index >= NUM_REGIONS {
            return EINVAL.to_errno();
        }
        let region = data.driver.region(info.index);
        let access = bindings::VFIO_REGION_INFO_FLAG_READ | bindings::VFIO_REGION_INFO_FLAG_WRITE;
        info.size = region.size;
        info.offset = u64::from(info.index) << OFFSET_SHIFT;
        info.flags = match (region.size, region.access) {
            (0, _) => 0,
            (_, Access::Words) => access,
            (_, Access::Memory) => access | bindings::VFIO_REGION_INFO_FLAG_MMAP,
        };
        0
    }

    /// # Safety
    ///
    /// As [`Self::open`], with `vma` being set up by `mmap()`.
    unsafe extern "C" fn mmap(
        device: *mut bindings::vfio_device,
        vma: *mut bindings::vm_area_struct,
    ) -> c_int {
        // SAFETY: By the safety requirements.
        let data = unsafe { Self::data(device) };
        from_result(|| {
            // SAFETY: By the safety requirements.
            let area = unsafe { memory::Area::from_raw(vma) };
            let index = u32::try_from(area.region()).map_err(|_| EINVAL)?;
            if index >= NUM_REGIONS || data.driver.region(index).access != Access::Memory {
                return Err(EINVAL);
            }
            data.driver.mmap(index, area)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the VFIO core for a registered device of this type, whether or not it is open.
    unsafe extern "C" fn dma_unmap(device: *mut bindings::vfio_device, _iova: u64, _length: u64) {
        // SAFETY: By the safety requirements.
        let data = unsafe { Self::data(device) };
        data.memory.unmap();
    }

    const OPS: bindings::vfio_device_ops = bindings::vfio_device_ops {
        name: kernel::str::as_char_ptr_in_const_context(T::NAME).cast_mut(),
        release: Some(Self::release),
        bind_iommufd: Some(bindings::vfio_iommufd_emulated_bind),
        unbind_iommufd: Some(bindings::vfio_iommufd_emulated_unbind),
        attach_ioas: Some(bindings::vfio_iommufd_emulated_attach_ioas),
        detach_ioas: Some(bindings::vfio_iommufd_emulated_detach_ioas),
        open_device: Some(Self::open),
        close_device: Some(Self::close),
        read: Some(Self::read),
        write: Some(Self::write),
        ioctl: Some(Self::ioctl),
        get_region_info_caps: Some(Self::region_info),
        mmap: Some(Self::mmap),
        dma_unmap: Some(Self::dma_unmap),
        ..pin_init::zeroed()
    };
}

/// Cuts `count` bytes at the file position `pos` into accesses that the region takes.
///
/// Returns the bytes done before the end of the region or the first error; an error only if
/// nothing was done.
fn transfer<T: Operations>(
    device: &T,
    pos: i64,
    count: usize,
    mut access: impl FnMut(u32, u64, usize) -> Result,
) -> Result<usize> {
    let pos = u64::try_from(pos).map_err(|_| EINVAL)?;
    let index = u32::try_from(pos >> OFFSET_SHIFT).map_err(|_| EINVAL)?;
    if index >= NUM_REGIONS {
        return Err(EINVAL);
    }
    let start = pos & ((1 << OFFSET_SHIFT) - 1);
    let region = device.region(index);
    let left = region
        .size
        .checked_sub(start)
        .filter(|n| *n > 0)
        .ok_or(EINVAL)?;
    let count = usize::try_from(left).unwrap_or(usize::MAX).min(count);

    let mut done = 0;
    while done < count {
        // OVERFLOW: `done` stays below what is left of the region.
        let offset = start + done as u64;
        let len = match region.access {
            Access::Memory => CHUNK.min(count - done),
            Access::Words => {
                let aligned = 1 << offset.trailing_zeros().min(3);
                let fits = 1 << (count - done).ilog2().min(3);
                usize::min(aligned, fits)
            }
        };
        match access(index, offset, len) {
            Ok(()) => done += len,
            Err(e) if done == 0 => return Err(e),
            Err(_) => break,
        }
    }
    Ok(done)
}

fn finish(done: Result<usize>, pos: &mut bindings::loff_t) -> isize {
    match done {
        // CAST: A transfer is limited to `MAX_RW_COUNT`, below `isize::MAX`.
        Ok(n) => {
            *pos += n as bindings::loff_t;
            n as isize
        }
        Err(e) => e.to_errno() as isize,
    }
}

fn ioctl<T: Operations>(device: &T, cmd: u32, arg: usize) -> Result {
    let user = |len| UserSlice::new(UserPtr::from_addr(arg), len);
    match cmd {
        bindings::VFIO_DEVICE_GET_INFO => {
            const SIZE: usize = 16;
            let (mut reader, mut writer) = user(SIZE).reader_writer();
            if (reader.read::<u32>()? as usize) < SIZE {
                return Err(EINVAL);
            }
            let flags = bindings::VFIO_DEVICE_FLAGS_PCI | bindings::VFIO_DEVICE_FLAGS_RESET;
            // CAST: The size is 16.
            writer.write(&(SIZE as u32))?;
            writer.write(&flags)?;
            writer.write(&NUM_REGIONS)?;
            writer.write(&bindings::VFIO_PCI_NUM_IRQS)
        }
        bindings::VFIO_DEVICE_GET_IRQ_INFO => {
            const SIZE: usize = 16;
            let (mut reader, mut writer) = user(SIZE).reader_writer();
            let argsz = reader.read::<u32>()?;
            let _flags = reader.read::<u32>()?;
            let index = reader.read::<u32>()?;
            if (argsz as usize) < SIZE || index >= bindings::VFIO_PCI_NUM_IRQS {
                return Err(EINVAL);
            }
            let flags = bindings::VFIO_IRQ_INFO_EVENTFD | bindings::VFIO_IRQ_INFO_NORESIZE;
            writer.write(&argsz)?;
            writer.write(&flags)?;
            writer.write(&index)?;
            writer.write(&device.irqs(index))
        }
        bindings::VFIO_DEVICE_SET_IRQS => set_irqs(device, arg),
        bindings::VFIO_DEVICE_RESET => {
            device.migration().reset();
            Ok(())
        }
        _ => Err(ENOTTY),
    }
}

/// `VFIO_DEVICE_SET_IRQS`, for the trigger action; these devices have no mask of their own.
fn set_irqs<T: Operations>(device: &T, arg: usize) -> Result {
    const HEADER: usize = 20;
    let mut reader = UserSlice::new(UserPtr::from_addr(arg), HEADER).reader();
    let mut header = bindings::vfio_irq_set {
        argsz: reader.read()?,
        flags: reader.read()?,
        index: reader.read()?,
        start: reader.read()?,
        count: reader.read()?,
        data: bindings::__IncompleteArrayField::new(),
    };
    if header.index >= bindings::VFIO_PCI_NUM_IRQS {
        return Err(EINVAL);
    }
    let mut size = 0;
    // CAST: At most 2048 vectors.
    let irqs = device.irqs(header.index) as c_int;
    // CAST: Five indices.
    let indices = bindings::VFIO_PCI_NUM_IRQS as c_int;
    // The kernel refuses a `start` at the number of vectors even for a count of zero, as vfio-pci
    // does.
    // SAFETY: The header and the size are valid for the call; no data is behind the header, and
    // the function does not look for it.
    to_result(unsafe {
        bindings::vfio_set_irqs_validate_and_prepare(&mut header, irqs, indices, &mut size)
    })?;
    if header.flags & bindings::VFIO_IRQ_SET_ACTION_TYPE_MASK
        != bindings::VFIO_IRQ_SET_ACTION_TRIGGER
    {
        return Err(ENOTTY);
    }
    let data = arg.checked_add(HEADER).ok_or(EFAULT)?;
    let mut data = UserSlice::new(UserPtr::from_addr(data), size).reader();
    let request = request(&header, &mut data)?;
    device.set_irqs(header.index, header.start as usize, request)
}

fn request(header: &bindings::vfio_irq_set, data: &mut UserSliceReader) -> Result<irq::Request> {
    let count = header.count as usize;
    match header.flags & bindings::VFIO_IRQ_SET_DATA_TYPE_MASK {
        bindings::VFIO_IRQ_SET_DATA_NONE if count == 0 => Ok(irq::Request::DisableAll),
        bindings::VFIO_IRQ_SET_DATA_NONE => Ok(irq::Request::Raise(KVec::from_elem(
            true, count, GFP_KERNEL,
        )?)),
        bindings::VFIO_IRQ_SET_DATA_BOOL => {
            let mut list = KVec::with_capacity(count, GFP_KERNEL)?;
            for _ in 0..count {
                list.push(data.read::<u8>()? != 0, GFP_KERNEL)?;
            }
            Ok(irq::Request::Raise(list))
        }
        bindings::VFIO_IRQ_SET_DATA_EVENTFD => {
            let mut list = KVec::with_capacity(count, GFP_KERNEL)?;
            for _ in 0..count {
                let target = match data.read::<i32>()? {
                    -1 => None,
                    fd => Some(irq::EventFd::get(fd)?),
                };
                list.push(target, GFP_KERNEL)?;
            }
            Ok(irq::Request::Deliver(list))
        }
        _ => Err(EINVAL),
    }
}

/// A registered device; dropping it waits until no file of the device is open.
///
/// # Invariants
///
/// The device is registered.
pub(crate) struct Registration<T: Operations>(Owned<Data<T>, bindings::vfio_device>);

// SAFETY: A device may be unregistered on any thread; the data is `Send` and `Sync`.
unsafe impl<T: Operations> Send for Registration<T> {}
// SAFETY: As above.
unsafe impl<T: Operations> Sync for Registration<T> {}

impl<T: Operations> Registration<T> {
    /// Makes a device below `parent` with the data that `init` makes, and registers it. While it is
    /// open, `memory` is that of its user.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if the features lack `STOP_COPY`, which the VFIO core does not check here.
    /// - Those of `init` and of the registration.
    ///
    /// # Safety
    ///
    /// `parent` must be a valid device that is being bound to its driver, and `memory` must not be
    /// that of another device.
    pub(crate) unsafe fn new<E>(
        parent: *mut bindings::device,
        memory: Arc<UserMemory>,
        init: impl PinInit<T, E>,
    ) -> Result<Self>
    where
        Error: From<E>,
    {
        let ops: &'static bindings::vfio_device_ops = &VTable::<T>::OPS;
        let data = try_pin_init!(Data {
            memory,
            driver <- init,
        }? Error);
        // SAFETY: These are the operations for `Device<Data<T>>`, and `release` drops the data.
        let device = unsafe { Device::<Data<T>>::alloc::<Error>(parent, ops, data) }?;
        let flags = device.data().driver.migration().flags();
        if flags & migration::STOP_COPY == 0 {
            return Err(EINVAL);
        }
        // SAFETY: The device is not registered yet.
        unsafe {
            migration::VTable::<Data<T>, bindings::vfio_device>::install(device.as_raw(), flags)
        };
        if device.data().log().is_some() {
            // SAFETY: The device is not registered yet.
            unsafe { log::VTable::<Data<T>, bindings::vfio_device>::install(device.as_raw()) };
        }
        // SAFETY: The device is allocated and complete.
        to_result(unsafe { bindings::vfio_register_emulated_iommu_dev(device.as_raw()) })?;
        // SAFETY: The device is registered, and its driver is not done with binding it. Its data is
        // dropped by `release`, which comes after it is unregistered.
        if let Some(dir) = unsafe { Dir::of_device(device.as_raw()) } {
            device.data().driver.migration().registered(&dir);
            device.data().driver.registered(&dir);
        }
        // INVARIANT: The device is registered.
        Ok(Self(device))
    }
}

impl<T: Operations> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: The device is registered by the type invariants. This waits for its users.
        unsafe { bindings::vfio_unregister_group_dev(self.0.as_raw()) };
    }
}
