// SPDX-License-Identifier: GPL-2.0

//! A backend that migrates a piece of memory and needs no hardware for it.
//!
//! It takes its data as images, in memory that it allocates itself, which the emulated device does
//! not.

use kernel::{
    prelude::*,
    sync::{
        new_mutex,
        Arc,
        Mutex, //
    },
};
use vfio_migration::{
    backend::{
        Backend,
        Buffer,
        Chunk,
        Failure,
        Landing,
        Pending,
        Phase,
        QuietArc,
        Waker, //
    },
    protocol::{
        fsm::Features,
        stream::{
            Identity,
            IdentityPolicy,
            Policy,
            REQUIREMENT_LEN, //
        },
    },
};

/// Bytes of state.
const SIZE: usize = 1 << 16;
const CHUNK_SIZE: usize = 1 << 14;
/// Bytes that land at once.
const PIECE: usize = 1000;

/// The backend of one device.
#[pin_data]
pub(crate) struct Memory {
    waker: Waker,
    #[pin]
    bytes: Mutex<KVVec<u8>>,
    /// What the present session has loaded.
    #[pin]
    loaded: Mutex<KVVec<u8>>,
}

/// A session that saves. Nothing but a session that resumes changes the memory, so each byte is
/// sent once.
pub(crate) struct Save {
    sent: usize,
}

/// An image that is being written.
pub(crate) struct Image(KVVec<u8>, usize);

impl Landing for Image {
    fn space(&mut self, left: u64) -> Result<&mut [u8]> {
        // A little at a time, as with pages.
        let piece = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let end = self.1 + piece;
        if self.0.len() < end {
            self.0.resize(end, 0, GFP_KERNEL_ACCOUNT)?;
        }
        self.0.get_mut(self.1..end).ok_or(EINVAL)
    }

    fn advance(&mut self, count: usize) {
        self.1 += count;
    }

    fn last(&self, count: usize) -> &[u8] {
        self.0
            .get(self.1.saturating_sub(count)..self.1)
            .unwrap_or(&[])
    }

    fn clear(&mut self) {
        self.1 = 0;
    }

    fn free(&mut self) {
        *self = Self(KVVec::new(), 0);
    }
}

impl Memory {
    /// Makes memory as it is after a reset.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let waker = Waker::new()?;
        let mut bytes = KVVec::from_elem(0, SIZE, GFP_KERNEL_ACCOUNT)?;
        fill(&mut bytes);
        let init = pin_init!(Self {
            waker,
            bytes <- new_mutex!(bytes, "vfio_migration_test::Memory::bytes"),
            loaded <- new_mutex!(KVVec::new(), "vfio_migration_test::Memory::loaded"),
        });
        Arc::pin_init(init, GFP_KERNEL_ACCOUNT)
    }
}

/// What the memory holds after a reset: no two chunks are equal.
fn fill(bytes: &mut [u8]) {
    for (i, byte) in bytes.iter_mut().enumerate() {
        // CAST: The low bits.
        *byte = (i ^ (i / CHUNK_SIZE * 37)) as u8;
    }
}

#[vtable]
impl Backend for Memory {
    type Save = Save;
    type Resume = ();
    type Image = Buffer;
    type Landing = Image;

    const POLICY: Policy = Policy {
        identity: IdentityPolicy::Required,
        // CAST: A constant.
        max_record: CHUNK_SIZE as u64,
    };
    const CHUNK_SIZE: usize = CHUNK_SIZE;

    fn features(&self) -> Features {
        Features::ALL
    }

    fn identity(&self) -> Identity {
        Identity {
            backend: Identity::name("test"),
            backend_version: 1,
            requirement: [0; REQUIREMENT_LEN],
        }
    }

    fn waker(&self) -> &Waker {
        &self.waker
    }

    fn quiet(&self, _arc: QuietArc) -> Result<(), Failure> {
        // The memory does nothing by itself.
        Ok(())
    }

    fn begin_save(&self, _phase: Phase) -> Result<Save, Failure> {
        Ok(Save { sent: 0 })
    }

    fn save(&self, save: &mut Save, spare: &mut Option<Buffer>) -> Result<Option<Chunk<Buffer>>> {
        let bytes = self.bytes.lock();
        let rest = bytes.get(save.sent..).ok_or(EINVAL)?;
        let Some(bytes) = rest.chunks(CHUNK_SIZE).next() else {
            return Ok(None);
        };
        let mut image = Buffer::take(spare, CHUNK_SIZE)?;
        let out = image.space().get_mut(..bytes.len()).ok_or(EINVAL)?;
        out.copy_from_slice(bytes);
        image.fill(bytes.len());
        save.sent += bytes.len();
        let initial = true;
        Ok(Some(Chunk { image, initial }))
    }

    fn pending(&self, save: &mut Save) -> Result<Pending> {
        Ok(Pending {
            // CAST: Bytes.
            initial: (SIZE - save.sent) as u64,
            dirty: 0,
            reinits: 0,
        })
    }

    fn stop_copy(&self, _save: &mut Save) -> Result<(), Failure> {
        Ok(())
    }

    fn end_save(&self, _save: Save) -> Result {
        Ok(())
    }

    fn begin_resume(&self) -> Result<(), Failure> {
        *self.loaded.lock() = KVVec::with_capacity(SIZE, GFP_KERNEL_ACCOUNT)?;
        Ok(())
    }

    fn landing(&self) -> Result<Image> {
        Ok(Image(KVVec::new(), 0))
    }

    fn load_image(&self, image: &mut Image) -> Result {
        let mut loaded = self.loaded.lock();
        let bytes = image.0.get(..image.1).ok_or(EINVAL)?;
        if bytes.len() > SIZE - loaded.len() {
            return Err(EINVAL);
        }
        Ok(loaded.extend_from_slice(bytes, GFP_KERNEL_ACCOUNT)?)
    }

    fn finish_resume(&self, _resume: &mut ()) -> Result {
        let mut loaded = self.loaded.lock();
        if loaded.len() != SIZE {
            return Err(ENODATA);
        }
        core::mem::swap(&mut *self.bytes.lock(), &mut *loaded);
        Ok(())
    }

    fn data_size(&self) -> Result<u64> {
        // CAST: Bytes.
        Ok(SIZE as u64)
    }

    fn reset(&self) {
        fill(&mut self.bytes.lock());
    }
}
