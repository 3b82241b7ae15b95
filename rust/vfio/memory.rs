// SPDX-License-Identifier: GPL-2.0

//! Memory of an emulated device that user space can map and whose writes are seen.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h).
//!
//! Pages are allocated when they are first used and stay until the memory is dropped. A mapping
//! holds page frame numbers (`VM_PFNMAP`), so nobody can pin the pages, and a reference to the
//! memory, so they outlive every mapping. A page is mapped for reading first; the first store
//! faults and tells the [`Observer`]. After [`RegionMemory::protect`] the next store does so again.
//!
//! How no store is lost: whoever copies pages clears its own marks, then calls `protect()`, then
//! copies. A store before `protect()` is in the copy; a later one faults and is marked anew.
//!
//! Locks: `mappings` is taken with `mmap_lock` held (in all of `vm_ops` but `fault`), and is held over
//! `unmap_mapping_range()`, which takes `i_mmap_rwsem`.

use crate::bindings;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    page::{
        BorrowedPage,
        Page,
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::{
        atomic::{
            ordering,
            Atomic, //
        },
        Arc,
        ArcBorrow,
        Mutex, //
    },
    types::ForeignOwnable,
};

/// Is told of writes.
pub trait Observer: Send + Sync + 'static {
    /// The page `page` was written (by the kernel) or is about to be (through a mapping). May be
    /// called with `mmap_lock` held, and may sleep.
    fn written(&self, page: usize);
}

/// A region begins at its index shifted by this in the device file (`VFIO_PCI_OFFSET_SHIFT`).
pub(crate) const OFFSET_SHIFT: u32 = 40;
/// The same for page numbers: bits of the page number inside a region.
const PAGE_BITS: u32 = OFFSET_SHIFT - PAGE_SHIFT as u32;

/// A mapping that `mmap()` is setting up.
pub struct Area<'a>(&'a mut bindings::vm_area_struct);

impl Area<'_> {
    /// # Safety
    ///
    /// `vma` must be valid and being set up by `mmap()`, with its lock held, for the life time.
    pub(crate) unsafe fn from_raw(vma: *mut bindings::vm_area_struct) -> Self {
        // SAFETY: By the safety requirements; nobody else uses the area during set-up.
        Self(unsafe { &mut *vma })
    }

    /// The index of the region in the device file.
    pub(crate) fn region(&self) -> usize {
        self.0.vm_pgoff >> PAGE_BITS
    }

    /// The pages of the region.
    fn pages(&self) -> Result<core::ops::Range<usize>> {
        // SAFETY: Both ways to read the bounds are the same words.
        let bounds = unsafe { self.0.__bindgen_anon_1.__bindgen_anon_1 };
        let first = region_page(self.0.vm_pgoff);
        let count = (bounds.vm_end - bounds.vm_start) >> PAGE_SHIFT;
        Ok(first..first.checked_add(count).ok_or(EINVAL)?)
    }

    fn is_shared(&self) -> bool {
        // SAFETY: Both ways to name the flags are the same word.
        let flags = unsafe { self.0.__bindgen_anon_2.vm_flags };
        flags & bindings::VM_SHARED != 0
    }
}

/// The page inside its region for a page of the device file.
fn region_page(file_page: usize) -> usize {
    file_page & ((1 << PAGE_BITS) - 1)
}

/// The mappings of the memory, all of one address space (the device's inode).
struct Mappings {
    count: usize,
    /// Valid while `count > 0`: a mapping holds its file, and that holds the inode.
    space: *mut bindings::address_space,
    /// Where the region begins in the device file, in bytes.
    base: i64,
}

// SAFETY: The pointer is only used under the conditions above, on any thread.
unsafe impl Send for Mappings {}

/// Memory in pages.
///
/// # Invariants
///
/// Each element of `pages` is null, or a page that was allocated here and lives until `self` is
/// dropped; it changes only from null.
#[pin_data(PinnedDrop)]
pub struct RegionMemory<O: Observer> {
    pages: VVec<Atomic<*mut bindings::page>>,
    #[pin]
    mappings: Mutex<Mappings>,
    observer: O,
}

// SAFETY: The pages may be used and freed on any thread.
unsafe impl<O: Observer> Send for RegionMemory<O> {}
// SAFETY: The elements are atomic, and the content of pages is shared with user space, which no
// lock could exclude.
unsafe impl<O: Observer> Sync for RegionMemory<O> {}

impl<O: Observer> RegionMemory<O> {
    /// Makes memory of `size` bytes, a multiple of the page size, all zero.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if `size` is not a multiple of the page size.
    /// - `ENOMEM` if there is no memory for the table of pages.
    pub fn new(size: usize, observer: O) -> Result<Arc<Self>> {
        if size % PAGE_SIZE != 0 {
            return Err(EINVAL);
        }
        let count = size / PAGE_SIZE;
        let mut pages = VVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?;
        for _ in 0..count {
            pages.push(Atomic::new(core::ptr::null_mut()), GFP_KERNEL_ACCOUNT)?;
        }
        Arc::pin_init(
            pin_init!(Self {
                pages,
                mappings <- crate::new_mutex!(
                    Mappings { count: 0, space: core::ptr::null_mut(), base: 0 },
                    "vfio::memory::mappings"
                ),
                observer,
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Bytes.
    pub fn size(&self) -> usize {
        self.pages.len() * PAGE_SIZE
    }

    /// Number of pages.
    pub fn page_count(&self) -> usize {
        self.pages.len()
    }

    /// Who is told of writes.
    pub fn observer(&self) -> &O {
        &self.observer
    }

    fn existing(&self, index: usize) -> Option<NonNull<bindings::page>> {
        NonNull::new(self.pages.get(index)?.load(ordering::Acquire))
    }

    /// The page `index`, allocated now if it was never used.
    fn page(&self, index: usize) -> Result<NonNull<bindings::page>> {
        if let Some(page) = self.existing(index) {
            return Ok(page);
        }
        let slot = self.pages.get(index).ok_or(EINVAL)?;
        let new = Page::alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO)?;
        match slot.cmpxchg(core::ptr::null_mut(), new.as_ptr(), ordering::Full) {
            Ok(_) => {
                // INVARIANT: The page now belongs to the table.
                let page = NonNull::new(new.as_ptr()).ok_or(ENOMEM);
                core::mem::forget(new);
                page
            }
            Err(other) => NonNull::new(other).ok_or(ENOMEM),
        }
    }

    /// Calls `f` for each page that `[offset, offset + len)` touches, with the page's index, and
    /// the range inside it and inside `0..len`.
    fn for_each(
        &self,
        offset: usize,
        len: usize,
        mut f: impl FnMut(usize, usize, core::ops::Range<usize>) -> Result,
    ) -> Result {
        if offset.checked_add(len).ok_or(EINVAL)? > self.size() {
            return Err(EINVAL);
        }
        let mut done = 0;
        while done < len {
            // OVERFLOW: Bounded by the size, as checked above.
            let at = offset + done;
            let part = (PAGE_SIZE - at % PAGE_SIZE).min(len - done);
            f(at / PAGE_SIZE, at % PAGE_SIZE, done..done + part)?;
            done += part;
        }
        Ok(())
    }

    /// Copies the memory from `offset` on to `out`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the range is not inside the memory.
    pub fn read(&self, offset: usize, out: &mut [u8]) -> Result {
        self.for_each(offset, out.len(), |index, at, range| {
            let out = out.get_mut(range).ok_or(EINVAL)?;
            match self.existing(index) {
                None => out.fill(0),
                Some(page) => {
                    // SAFETY: The page lives as long as `self`.
                    let page = unsafe { BorrowedPage::from_raw(page) };
                    // SAFETY: `out` is valid for its length. User space may write the page at the
                    // same time, as with any memory of a device; the copy is then of either value.
                    unsafe { page.read_raw(out.as_mut_ptr(), at, out.len()) }?;
                }
            }
            Ok(())
        })
    }

    /// Copies `data` to the memory from `offset` on, then tells the observer.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if the range is not inside the memory.
    /// - `ENOMEM` if a page could not be allocated; those before it were written.
    pub fn write(&self, offset: usize, data: &[u8]) -> Result {
        self.for_each(offset, data.len(), |index, at, range| {
            let data = data.get(range).ok_or(EINVAL)?;
            // What was never used is zero, and need not exist to stay so.
            if self.existing(index).is_none() && data.iter().all(|b| *b == 0) {
                return Ok(());
            }
            let page = self.page(index)?;
            // SAFETY: The page lives as long as `self`.
            let page = unsafe { BorrowedPage::from_raw(page) };
            // SAFETY: `data` is valid for its length. User space may access the page at the same
            // time, as with any memory of a device.
            unsafe { page.write_raw(data.as_ptr(), at, data.len()) }?;
            self.observer.written(index);
            Ok(())
        })
    }

    /// Makes all of the memory zero.
    pub fn clear(&self) {
        for index in 0..self.pages.len() {
            if let Some(page) = self.existing(index) {
                // SAFETY: The page lives as long as `self`.
                let page = unsafe { BorrowedPage::from_raw(page) };
                // SAFETY: User space may access the page at the same time, as with any memory of a
                // device. The range is the whole page, so this does not fail.
                let _ = unsafe { page.fill_zero_raw(0, PAGE_SIZE) };
                self.observer.written(index);
            }
        }
    }

    /// Has the next store through a mapping to each of the pages fault. When this returns, no
    /// store that does not fault is under way.
    pub fn protect(&self, pages: core::ops::Range<usize>) {
        let mappings = self.mappings.lock();
        if mappings.count == 0 || pages.is_empty() {
            return;
        }
        // CAST: The memory is smaller than a region can be, `1 << OFFSET_SHIFT` bytes.
        let start = mappings.base + (pages.start << PAGE_SHIFT) as i64;
        // CAST: As above.
        let len = (pages.len() << PAGE_SHIFT) as i64;
        // SAFETY: There is a mapping, which keeps the address space valid, and which does not go
        // away while the lock is held.
        unsafe { bindings::unmap_mapping_range(mappings.space, start, len, 1) };
    }

    /// Maps the memory where `area` says.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the area is private, or not inside the memory.
    pub fn map(self: ArcBorrow<'_, Self>, area: Area<'_>) -> Result {
        if !area.is_shared() || area.pages()?.end > self.pages.len() {
            return Err(EINVAL);
        }
        let vma: *mut bindings::vm_area_struct = area.0;
        // SAFETY: The area is being set up, so its flags may be changed.
        unsafe { bindings::vfio_set_pfnmap(vma) };
        let ops: &'static bindings::vm_operations_struct = &VmOps::<O>::OPS;
        area.0.vm_ops = ops;
        // The reference belongs to the area, until `close`.
        area.0.vm_private_data = Arc::<Self>::from(self).into_foreign();
        // SAFETY: The area's reference is in place, and the area is valid.
        unsafe { VmOps::<O>::open_first(area.0) };
        Ok(())
    }
}

struct VmOps<O>(PhantomData<O>);

impl<O: Observer> VmOps<O> {
    /// # Safety
    ///
    /// `vma` must be an area set up by [`RegionMemory::map`] for `O`, valid for the life time.
    unsafe fn memory<'a>(vma: *mut bindings::vm_area_struct) -> ArcBorrow<'a, RegionMemory<O>> {
        // SAFETY: By the safety requirements.
        let data = unsafe { (*vma).vm_private_data };
        // SAFETY: `map()` and `open()` put a reference there, which `close()` takes back last.
        unsafe { Arc::borrow(data) }
    }

    /// Counts the area as one more mapping.
    ///
    /// # Safety
    ///
    /// As [`Self::memory`], with the area's lock held.
    unsafe fn open_first(vma: &bindings::vm_area_struct) {
        // SAFETY: By the safety requirements.
        let memory = unsafe { Self::memory(core::ptr::from_ref(vma).cast_mut()) };
        // SAFETY: An area with a file keeps it valid.
        let space = unsafe { (*vma.vm_file).f_mapping };
        let mut mappings = memory.mappings.lock();
        mappings.count += 1;
        mappings.space = space;
        // CAST: File offsets are below `i64::MAX`.
        mappings.base = ((vma.vm_pgoff - region_page(vma.vm_pgoff)) << PAGE_SHIFT) as i64;
    }

    /// # Safety
    ///
    /// Called by the memory manager for an area that was copied or split from one of ours.
    unsafe extern "C" fn open(vma: *mut bindings::vm_area_struct) {
        // SAFETY: By the safety requirements; the copy has the pointer but no reference yet.
        let memory = unsafe { Self::memory(vma) };
        // The reference belongs to the new area, until its `close`.
        let data = Arc::<RegionMemory<O>>::from(memory).into_foreign();
        // SAFETY: The area is valid, and the pointer is the one that it has.
        unsafe { (*vma).vm_private_data = data };
        // SAFETY: As above.
        unsafe { Self::open_first(&*vma) };
    }

    /// # Safety
    ///
    /// Called by the memory manager as the last use of an area of ours.
    unsafe extern "C" fn close(vma: *mut bindings::vm_area_struct) {
        // SAFETY: By the safety requirements.
        let data = unsafe { (*vma).vm_private_data };
        // SAFETY: The area's own reference, not used after this.
        let memory = unsafe { Arc::<RegionMemory<O>>::from_foreign(data) };
        let mut mappings = memory.mappings.lock();
        mappings.count -= 1;
        drop(mappings);
        drop(memory);
    }

    /// # Safety
    ///
    /// Called by the memory manager for a fault in an area of ours.
    unsafe extern "C" fn fault(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: The memory manager passes a valid fault.
        let at = unsafe { (*vmf).__bindgen_anon_1 };
        // SAFETY: The area is one of ours.
        let memory = unsafe { Self::memory(at.vma) };
        let index = region_page(at.pgoff);
        if index >= memory.pages.len() {
            return bindings::VM_FAULT_SIGBUS;
        }
        let Ok(page) = memory.page(index) else {
            return bindings::VM_FAULT_OOM;
        };
        // SAFETY: The page is valid.
        let pfn = unsafe { bindings::vfio_page_to_pfn(page.as_ptr()) };
        // With `pfn_mkwrite` in place the area's protection has no write bit, so this maps the
        // page for reading.
        // SAFETY: This is the fault handler of an area with `VM_PFNMAP`, and the page stays as long
        // as the area has its reference to the memory.
        unsafe { bindings::vmf_insert_pfn(at.vma, at.address, pfn) }
    }

    /// # Safety
    ///
    /// Called by the memory manager for a first store to a page in an area of ours.
    unsafe extern "C" fn pfn_mkwrite(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: The memory manager passes a valid fault.
        let at = unsafe { (*vmf).__bindgen_anon_1 };
        // SAFETY: The area is one of ours.
        let memory = unsafe { Self::memory(at.vma) };
        let index = region_page(at.pgoff);
        let Some(page) = memory.existing(index) else {
            return bindings::VM_FAULT_SIGBUS;
        };
        // With the lock of `protect()` to the end: were the mapping left to the memory manager, it
        // could be taken away and come back in between, and become writable with no mark left.
        let mappings = memory.mappings.lock();
        memory.observer.written(index);
        // SAFETY: The area is one of ours, the address is inside it, and the page stays as long as
        // the area has its reference to the memory.
        let done = unsafe { bindings::vfio_map_writable(at.vma, at.address, page.as_ptr()) };
        drop(mappings);
        done
    }

    const OPS: bindings::vm_operations_struct = bindings::vm_operations_struct {
        open: Some(Self::open),
        close: Some(Self::close),
        fault: Some(Self::fault),
        pfn_mkwrite: Some(Self::pfn_mkwrite),
        ..pin_init::zeroed()
    };
}

#[pinned_drop]
impl<O: Observer> PinnedDrop for RegionMemory<O> {
    fn drop(self: Pin<&mut Self>) {
        for index in 0..self.pages.len() {
            if let Some(page) = self.existing(index) {
                // SAFETY: The page was allocated here, no mapping is left (each holds a reference),
                // and nobody else can use the table.
                unsafe { bindings::__free_pages(page.as_ptr(), 0) };
            }
        }
    }
}
