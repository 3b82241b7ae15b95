// SPDX-License-Identifier: GPL-2.0

//! A backend that migrates a piece of memory and needs no hardware for it.

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
        Chunk,
        Failure,
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

/// The backend of one device.
#[pin_data]
pub(crate) struct Memory {
    waker: Waker,
    #[pin]
    bytes: Mutex<KVVec<u8>>,
}

/// A session that saves. Nothing but a session that resumes changes the memory, so each byte is
/// sent once.
pub(crate) struct Save {
    sent: usize,
}

/// A session that resumes.
pub(crate) struct Resume(KVVec<u8>);

impl Memory {
    /// Makes memory as it is after a reset.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let waker = Waker::new()?;
        let mut bytes = KVVec::from_elem(0, SIZE, GFP_KERNEL_ACCOUNT)?;
        fill(&mut bytes);
        let init = pin_init!(Self {
            waker,
            bytes <- new_mutex!(bytes, "vfio_migration_test::Memory"),
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
    type Resume = Resume;

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

    fn accept(&self, identity: &Identity) -> Result {
        if *identity == self.identity() {
            Ok(())
        } else {
            Err(EOPNOTSUPP)
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

    fn save(&self, save: &mut Save, out: &mut [u8]) -> Result<Option<Chunk>> {
        let bytes = self.bytes.lock();
        let rest = bytes.get(save.sent..).ok_or(EINVAL)?;
        let len = rest.len().min(out.len());
        if len == 0 {
            return Ok(None);
        }
        out.get_mut(..len)
            .ok_or(EINVAL)?
            .copy_from_slice(rest.get(..len).ok_or(EINVAL)?);
        save.sent += len;
        Ok(Some(Chunk { len, initial: true }))
    }

    fn pending(&self, save: &Save) -> Pending {
        Pending {
            // CAST: Bytes.
            initial: (SIZE - save.sent) as u64,
            dirty: 0,
            reinits: 0,
        }
    }

    fn stop_copy(&self, _save: &mut Save) -> Result<(), Failure> {
        Ok(())
    }

    fn end_save(&self, _save: Save) -> Result {
        Ok(())
    }

    fn begin_resume(&self) -> Result<Resume, Failure> {
        Ok(Resume(KVVec::with_capacity(SIZE, GFP_KERNEL_ACCOUNT)?))
    }

    fn load(&self, resume: &mut Resume, data: &[u8]) -> Result {
        if data.len() > SIZE - resume.0.len() {
            return Err(EINVAL);
        }
        Ok(resume.0.extend_from_slice(data, GFP_KERNEL_ACCOUNT)?)
    }

    fn finish_resume(&self, resume: &mut Resume) -> Result {
        if resume.0.len() != SIZE {
            return Err(ENODATA);
        }
        core::mem::swap(&mut *self.bytes.lock(), &mut resume.0);
        Ok(())
    }

    fn data_size(&self) -> u64 {
        // CAST: Bytes.
        SIZE as u64
    }

    fn reset(&self) {
        fill(&mut self.bytes.lock());
    }
}
