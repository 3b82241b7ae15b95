// SPDX-License-Identifier: GPL-2.0

//! The file of a session that saves.
//!
//! A work item (the *producer*) has the backend make chunks into a fixed number of buffers, and the
//! reader empties them, so that the device and user space work at the same time. Buffers are
//! allocated by the reader, so its control group is charged, and not before it asks for data.
//!
//! This file has the producer's side, [`file`] what user space sees.

mod file;

use crate::{
    backend::{
        Backend,
        Chunk,
        Failure,
        Pending,
        Phase,
        Waker, //
    },
    monitor::Monitor,
    protocol::{
        fsm::Arc as StateArc,
        stream::{
            Writer,
            CHECKSUM_RECORD_LEN,
            HEADER_LEN,
            IDENTITY_RECORD_LEN,
            TRAILER_RECORD_LEN, //
        },
    },
    watched::Watched,
    Crc32c,
};
use kernel::{
    fs::File,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        Mutex, //
    },
};
use vfio::{
    device::Handle,
    lock_class,
    new_mutex,
    stream::{
        self,
        Direction, //
    },
    task::{
        Queue as WorkQueue,
        Run,
        Task, //
    }, //
};

/// Buffers of a session: one that the reader empties, one that is full, one in the making.
const BUFFERS: usize = 3;

/// A buffer with records in `bytes[start..end]`.
struct Buffer {
    bytes: KVVec<u8>,
    start: usize,
    end: usize,
    initial: bool,
}

impl Buffer {
    fn len(&self) -> usize {
        self.end - self.start
    }
}

/// How far the stream is.
#[derive(Clone, Copy)]
enum Stage {
    /// More may come.
    Open,
    /// The trailer is queued.
    Complete,
    /// The backend failed; nothing comes after what is queued.
    Failed(Error),
    /// The session has ended.
    Dead,
}

struct Queue {
    stage: Stage,
    /// Changes only with the lock of the session held.
    phase: Phase,
    ready: KVec<Buffer>,
    free: KVec<Buffer>,
    allocated: usize,
    /// Somebody is in `read()`, with this many bytes of a buffer in hand.
    reading: bool,
    in_hand: Pending,
    /// The last re-initialisation that was told to user space.
    reinits: u32,
    /// User space knows no re-initialisation, so initial data counts as dirty since one.
    initial_is_dirty: bool,
    /// Counts what the producer did, to notice between two looks.
    events: u64,
}

impl Queue {
    fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// Bytes that are made and were not read, by class.
    fn unread(&self) -> Pending {
        let mut sum = self.in_hand;
        for buffer in &self.ready {
            add(&mut sum, buffer.initial, buffer.len());
        }
        sum
    }
}

fn add(sum: &mut Pending, initial: bool, len: usize) {
    let class = if initial {
        &mut sum.initial
    } else {
        &mut sum.dirty
    };
    // CAST: Buffers are far below 4 GiB.
    *class += len as u64;
}

/// A session with its backend; it exists from [`SaveFile::begin`] to [`SaveFile::end`].
struct Session<B: Backend> {
    backend: Watched<B>,
    device: Handle,
    save: B::Save,
    writer: Writer<Crc32c>,
    identified: bool,
    /// Rounds of pre-copy that are over: in each all was made that there was to make then.
    rounds: u64,
    /// Bytes of the stream at the end of the last round.
    rounds_end: u64,
}

/// What the producer made of a buffer.
enum Made {
    Chunk(Chunk),
    /// Nothing for now.
    Nothing,
    /// The trailer.
    End(usize),
}

impl<B: Backend> Session<B> {
    /// Makes the next records at the start of `out`.
    fn make(&mut self, phase: Phase, out: &mut [u8]) -> Result<Made> {
        if !self.identified {
            let record = self.writer.identity(&self.backend.backend().identity());
            self.put(out, &record)?;
            self.identified = true;
            return Ok(Made::Chunk(Chunk {
                len: IDENTITY_RECORD_LEN,
                initial: true,
            }));
        }
        let space = out.get_mut(HEADER_LEN..HEADER_LEN + B::CHUNK_SIZE);
        let space = space.ok_or(EINVAL)?;
        let position = self.writer.bytes();
        let made = self.backend.save(&mut self.save, phase, position, space)?;
        match (made, phase) {
            (Some(chunk), _) => {
                let end = HEADER_LEN.checked_add(chunk.len).ok_or(EINVAL)?;
                let (record, rest) = out.split_at_mut_checked(end).ok_or(EINVAL)?;
                self.writer.data(record);
                self.backend.made(record);
                let checksum = self.writer.checksum();
                self.put(rest, &checksum)?;
                Ok(Made::Chunk(Chunk {
                    len: end + CHECKSUM_RECORD_LEN,
                    ..chunk
                }))
            }
            (None, Phase::PreCopy) => {
                self.end_round();
                Ok(Made::Nothing)
            }
            (None, Phase::StopCopy) => {
                let trailer = self.writer.trailer();
                self.put(out, &trailer)?;
                Ok(Made::End(TRAILER_RECORD_LEN))
            }
        }
    }

    /// Puts a record at the start of `out`.
    fn put(&self, out: &mut [u8], record: &[u8]) -> Result {
        out.get_mut(..record.len())
            .ok_or(EINVAL)?
            .copy_from_slice(record);
        self.backend.made(record);
        Ok(())
    }

    /// A round of pre-copy is over, unless nothing was made since the last.
    fn end_round(&mut self) {
        let end = self.writer.bytes();
        if end > self.rounds_end {
            self.rounds += 1;
            self.backend.round(self.rounds, end - self.rounds_end);
            self.rounds_end = end;
        }
    }

    /// What could be read if it were made now, with the records around it.
    fn pending(&self) -> Pending {
        let mut pending = self.backend.pending(&self.save);
        pending.initial += framing::<B>(pending.initial);
        pending.dirty += framing::<B>(pending.dirty);
        if !self.identified {
            add(&mut pending, true, IDENTITY_RECORD_LEN);
        }
        pending
    }
}

/// Bytes of records around `payload` bytes that come in full chunks.
pub(crate) fn framing<B: Backend>(payload: u64) -> u64 {
    // CAST: A chunk is far below 4 GiB.
    let chunks = payload.div_ceil(B::CHUNK_SIZE as u64);
    // OVERFLOW: A few bytes for each chunk, which has more.
    chunks * (HEADER_LEN + CHECKSUM_RECORD_LEN) as u64
}

/// The file of a session that saves; it may outlive the session and the device.
#[pin_data]
pub(crate) struct SaveFile<B: Backend> {
    waker: Waker,
    monitor: Arc<Monitor>,
    #[pin]
    session: Mutex<Option<Session<B>>>,
    #[pin]
    queue: Mutex<Queue>,
}

impl<B: Backend> SaveFile<B> {
    /// Bytes of a buffer.
    const BUFFER_SIZE: usize = HEADER_LEN + B::CHUNK_SIZE + CHECKSUM_RECORD_LEN;

    /// Makes the file of a session that is yet to begin.
    pub(crate) fn new(
        work: Arc<WorkQueue>,
        backend: &Watched<B>,
        phase: Phase,
    ) -> Result<(Arc<Task<Self>>, ARef<File>)> {
        const {
            assert!(IDENTITY_RECORD_LEN <= Self::BUFFER_SIZE);
            assert!(TRAILER_RECORD_LEN <= Self::BUFFER_SIZE);
            // A device takes the records that one of its kind makes.
            // CAST: Constants.
            assert!(B::CHUNK_SIZE as u64 <= B::POLICY.max_record);
            assert!((IDENTITY_RECORD_LEN - HEADER_LEN) as u64 <= B::POLICY.max_record);
        }
        let queue = Queue {
            stage: Stage::Open,
            phase,
            ready: KVec::with_capacity(BUFFERS, GFP_KERNEL_ACCOUNT)?,
            free: KVec::with_capacity(BUFFERS, GFP_KERNEL_ACCOUNT)?,
            allocated: 0,
            reading: false,
            in_hand: Pending::default(),
            reinits: 0,
            initial_is_dirty: false,
            events: 0,
        };
        let data = pin_init!(Self {
            waker: backend.backend().waker().clone(),
            monitor: backend.monitor().clone(),
            session <- new_mutex!(None, "vfio_migration::SaveFile::session"),
            queue <- new_mutex!(queue, "vfio_migration::SaveFile::queue"),
        });
        let (name, key) = lock_class!("vfio_migration_save");
        let task = Task::new(work, name, key, data);
        let this = Arc::pin_init(task, GFP_KERNEL_ACCOUNT)?;
        let file =
            stream::new::<file::SaveStream<B>>(c"[vfio-save]", this.clone(), Direction::Read)?;
        Ok((this, file))
    }

    /// Begins the session.
    pub(crate) fn begin(&self, backend: Watched<B>, device: Handle, save: B::Save) {
        let pending = backend.pending(&save);
        self.queue.lock().reinits = pending.reinits;
        *self.session.lock() = Some(Session {
            backend,
            device,
            save,
            writer: Writer::new(),
            identified: false,
            rounds: 0,
            rounds_end: 0,
        });
    }

    /// Stops the device and goes on to the end of its state.
    pub(crate) fn stop_copy(this: &Task<Self>, arc: StateArc) -> Result<(), Failure> {
        let mut session = this.session.lock();
        let Some(session) = &mut *session else {
            return Err(Failure::Kept(ENODEV));
        };
        session.backend.stop_copy(arc, &mut session.save)?;
        session.end_round();
        this.queue.lock().phase = Phase::StopCopy;
        this.note();
        this.start();
        Ok(())
    }

    /// Ends the session; whoever waits is woken. Waits for a chunk in the making.
    pub(crate) fn end(&self) -> Option<B::Save> {
        let mut queue = self.queue.lock();
        queue.stage = Stage::Dead;
        let ready = core::mem::take(&mut queue.ready);
        let free = core::mem::take(&mut queue.free);
        drop(queue);
        self.note();
        drop((ready, free));
        let session = self.session.lock().take();
        session.map(|session| session.save)
    }

    /// Something happened that readers may wait for.
    fn note(&self) {
        self.queue.lock().events += 1;
        self.waker.wake();
    }

    /// One step of the producer; false when there is nothing to do until it is started again.
    fn produce(&self) -> bool {
        let mut queue = self.queue.lock();
        if !queue.is_open() {
            return false;
        }
        let Some(mut buffer) = queue.free.pop() else {
            if !queue.ready.is_empty() {
                self.monitor.stats.waits_for_reader.add(1);
            }
            return false;
        };
        drop(queue);

        let mut guard = self.session.lock();
        let made = match &mut *guard {
            Some(session) => {
                let phase = self.queue.lock().phase;
                session.make(phase, &mut buffer.bytes)
            }
            None => return false,
        };
        // Still with the lock of the session, so that who holds it sees no chunk in between.
        let mut queue = self.queue.lock();
        if !queue.is_open() {
            return false;
        }
        let (chunk, again) = match made {
            Ok(Made::Chunk(chunk)) => (Some(chunk), true),
            Ok(Made::Nothing) => (None, false),
            Ok(Made::End(len)) => {
                queue.stage = Stage::Complete;
                let initial = false;
                (Some(Chunk { len, initial }), false)
            }
            Err(error) => {
                queue.stage = Stage::Failed(error);
                (None, false)
            }
        };
        let list = match chunk {
            Some(chunk) => {
                buffer.start = 0;
                buffer.end = chunk.len;
                buffer.initial = chunk.initial;
                &mut queue.ready
            }
            None => &mut queue.free,
        };
        // There is room for all buffers in each list, so this loses none.
        let lost = list.push_within_capacity(buffer).is_err();
        queue.events += 1;
        drop(queue);
        drop(guard);
        self.waker.wake();
        again && !lost
    }

    /// Has the producer run, with buffers of the calling process.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is not one buffer.
    fn kick(this: &Task<Self>) -> Result {
        loop {
            let queue = this.queue.lock();
            let allocated = queue.allocated;
            if !queue.is_open() || allocated == BUFFERS {
                break;
            }
            drop(queue);
            let Ok(bytes) = KVVec::zeroed(Self::BUFFER_SIZE, GFP_KERNEL_ACCOUNT) else {
                if allocated == 0 {
                    return Err(ENOMEM);
                }
                break;
            };
            let buffer = Buffer {
                bytes,
                start: 0,
                end: 0,
                initial: false,
            };
            let mut queue = this.queue.lock();
            if queue.is_open()
                && queue.allocated < BUFFERS
                && queue.free.push_within_capacity(buffer).is_ok()
            {
                queue.allocated += 1;
            }
        }
        this.start();
        Ok(())
    }
}

impl<B: Backend> Run for SaveFile<B> {
    /// The producer: makes chunks while there are buffers for them.
    fn run(task: &Task<Self>) {
        while task.produce() {}
    }
}
