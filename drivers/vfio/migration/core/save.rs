// SPDX-License-Identifier: GPL-2.0

//! The file of a session that saves.
//!
//! A work item (the *producer*) has the backend make a few images, and the reader empties them, so
//! that the device and user space work at the same time. No memory for them is allocated before
//! user space asks for data, and all of it is charged to the process that reads or that began the
//! session.
//!
//! This file has the producer's side, [`framer`] the records of the stream, [`file`] what user space
//! sees.

mod file;
mod framer;

use crate::{
    backend::{
        Backend,
        Chunk,
        Failure,
        Image,
        Pending,
        Phase,
        Waker, //
    },
    monitor::Monitor,
    protocol::{
        fsm::Arc as StateArc,
        stream::{
            HEADER_LEN,
            IDENTITY_RECORD_LEN, //
        },
    },
    watched::Watched, //
};
use framer::{
    Entry,
    Framer,
    Item,
    FRAMING, //
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
    cgroup::Charge,
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

/// Bytes of the identity, with which a stream begins.
// CAST: A constant.
const IDENTITY_LEN: u64 = IDENTITY_RECORD_LEN as u64;

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

/// # Invariants
///
/// There is room for one item more than there may be images in `ready`, and while more may come for
/// all images in `spare`.
struct Queue<I> {
    stage: Stage,
    /// Changes only with the lock of the session held.
    phase: Phase,
    ready: KVec<Item<I>>,
    /// Empty once no more comes.
    spare: KVec<I>,
    /// Images that there are, wherever, with the one in the making; as long as more may come.
    images: usize,
    /// How many there may be.
    depth: usize,
    /// Somebody is in `read()`, with all of `hands`.
    reading: bool,
    hands: Option<KBox<Hands<I>>>,
    /// Bytes that he had in hand when he began.
    in_hand: Pending,
    /// The identity was read, or is in hand.
    identified: bool,
    /// A reader was told that there is data to come (`EAGAIN`), and not yet that there is none.
    owing: bool,
    /// The last re-initialisation that was told to user space.
    reinits: u32,
    /// User space knows no re-initialisation, so initial data counts as dirty since one.
    initial_is_dirty: bool,
    /// Counts what the producer did, to notice between two looks.
    events: u64,
}

/// What belongs to the one that reads.
struct Hands<I> {
    /// Not before the session has begun.
    framer: Option<Framer>,
    /// What is read in part.
    entry: Option<Entry<I>>,
}

impl<I> Hands<I> {
    const fn new() -> Self {
        Self {
            framer: None,
            entry: None,
        }
    }
}

impl<I: Image> Queue<I> {
    fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// Bytes that are made and were not read, by class.
    fn unread(&self) -> Pending {
        let mut sum = self.in_hand;
        for item in &self.ready {
            add(&mut sum, item.is_initial(), item.len());
        }
        sum
    }

    /// What is not read belongs to the initial data from now on.
    fn all_initial(&mut self) {
        for item in &mut self.ready {
            if let Item::Image { initial, .. } = item {
                *initial = true;
            }
        }
        if let Some(entry) = self.hands.as_mut().and_then(|hands| hands.entry.as_mut()) {
            entry.set_initial();
        }
    }

    /// Whether there is something to read without waiting.
    fn has_data(&self) -> bool {
        let in_part = self
            .hands
            .as_ref()
            .is_some_and(|hands| hands.entry.is_some());
        in_part || !self.ready.is_empty()
    }

    /// Whether there is an image that the reader has yet to give back, besides one in the making.
    fn has_unread_image(&self) -> bool {
        self.images > self.spare.len() + 1
    }

    /// Puts back what was to become an image and did not.
    fn unmade(&mut self, spare: Option<I>) {
        let kept = spare.and_then(|image| self.spare.push_within_capacity(image).ok());
        if kept.is_none() {
            self.images -= 1;
        }
    }
}

fn add(sum: &mut Pending, initial: bool, len: usize) {
    let class = if initial {
        &mut sum.initial
    } else {
        &mut sum.dirty
    };
    // CAST: No buffer is longer than `isize::MAX`.
    *class += len as u64;
}

/// A session with its backend; it exists from [`SaveFile::begin`] to [`SaveFile::end`].
struct Session<B: Backend> {
    backend: Watched<B>,
    device: Handle,
    /// The process that began the session.
    charge: Charge,
    save: B::Save,
    /// Bytes of the stream that were made.
    bytes: u64,
    /// Rounds of pre-copy that are over: in each all was made that there was to make then.
    rounds: u64,
    /// Bytes of the stream at the end of the last round.
    rounds_end: u64,
}

/// What the producer made.
enum Made<I> {
    Item(Item<I>),
    /// Nothing for now.
    Nothing,
}

impl<B: Backend> Session<B> {
    /// Makes the next item, in the memory of `spare` if that will do.
    fn make(&mut self, phase: Phase, spare: &mut Option<B::Image>) -> Result<Made<B::Image>> {
        let Self {
            backend,
            charge,
            save,
            bytes,
            ..
        } = self;
        let made = charge.scope(|| backend.save(save, phase, *bytes, spare))?;
        match (made, phase) {
            (Some(Chunk { image, initial }), _) => {
                let item = Item::Image { image, initial };
                // CAST: No image is longer than `isize::MAX`.
                self.bytes += item.len() as u64;
                Ok(Made::Item(item))
            }
            (None, Phase::PreCopy) => {
                self.end_round();
                Ok(Made::Nothing)
            }
            (None, Phase::StopCopy) => Ok(Made::Item(Item::End)),
        }
    }

    /// A round of pre-copy is over, unless nothing was made since the last.
    fn end_round(&mut self) {
        let end = self.bytes;
        if end > self.rounds_end.max(IDENTITY_LEN) {
            self.rounds += 1;
            self.backend.round(self.rounds, end - self.rounds_end);
            self.rounds_end = end;
        }
    }

    /// What could be read if it were made now, with the records around it.
    fn pending(&mut self) -> Result<Pending> {
        let mut pending = self.backend.pending(&mut self.save)?;
        pending.initial += framing::<B>(pending.initial);
        pending.dirty += framing::<B>(pending.dirty);
        Ok(pending)
    }
}

/// Bytes of records around `payload` bytes that come in full chunks.
pub(crate) fn framing<B: Backend>(payload: u64) -> u64 {
    // CAST: A chunk is far below 4 GiB.
    let chunks = payload.div_ceil(B::CHUNK_SIZE as u64);
    // OVERFLOW: A few bytes for each chunk, which has more.
    chunks * FRAMING as u64
}

/// The file of a session that saves; it may outlive the session and the device.
#[pin_data]
pub(crate) struct SaveFile<B: Backend> {
    waker: Waker,
    monitor: Arc<Monitor>,
    #[pin]
    session: Mutex<Option<Session<B>>>,
    #[pin]
    queue: Mutex<Queue<B::Image>>,
}

impl<B: Backend> SaveFile<B> {
    /// Makes the file of a session that is yet to begin.
    pub(crate) fn new(
        work: Arc<WorkQueue>,
        backend: &Watched<B>,
        phase: Phase,
    ) -> Result<(Arc<Task<Self>>, ARef<File>)> {
        const {
            // A device takes the records that one of its kind makes.
            // CAST: Constants.
            assert!(B::CHUNK_SIZE as u64 <= B::POLICY.max_record);
            assert!((IDENTITY_RECORD_LEN - HEADER_LEN) as u64 <= B::POLICY.max_record);
        }
        let depth = backend.backend().depth().max(1);
        // INVARIANT: The end is the item without an image.
        let queue = Queue {
            stage: Stage::Open,
            phase,
            ready: KVec::with_capacity(depth + 1, GFP_KERNEL_ACCOUNT)?,
            spare: KVec::with_capacity(depth, GFP_KERNEL_ACCOUNT)?,
            images: 0,
            depth,
            reading: false,
            hands: Some(KBox::new(Hands::new(), GFP_KERNEL_ACCOUNT)?),
            identified: false,
            in_hand: Pending::default(),
            owing: false,
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
        let identity = backend.backend().identity();
        let framer = Framer::new(identity, self.monitor.clone(), backend.number());
        if let Some(hands) = &mut self.queue.lock().hands {
            hands.framer = Some(framer);
        }
        *self.session.lock() = Some(Session {
            backend,
            device,
            charge: Charge::current(),
            save,
            bytes: IDENTITY_LEN,
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
        // Who waits for data has the producer go on.
        this.note();
        Ok(())
    }

    /// Ends the session; whoever waits is woken. Waits for a chunk in the making.
    pub(crate) fn end(&self) -> Option<B::Save> {
        let mut queue = self.queue.lock();
        queue.stage = Stage::Dead;
        let ready = core::mem::take(&mut queue.ready);
        let spare = core::mem::take(&mut queue.spare);
        let hands = queue.hands.take();
        drop(queue);
        self.note();
        drop((ready, spare, hands));
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
        let mut spare = queue.spare.pop();
        if spare.is_none() {
            // Where readers allocate, this must not: for want of memory it would not fail, but have
            // some process of the reader's control group killed.
            if B::HAS_IMAGE || queue.images >= queue.depth {
                if !queue.ready.is_empty() {
                    self.monitor.stats.waits_for_reader.add(1);
                }
                return false;
            }
            queue.images += 1;
        }
        drop(queue);

        let mut guard = self.session.lock();
        let made = match &mut *guard {
            Some(session) => {
                let phase = self.queue.lock().phase;
                session.make(phase, &mut spare)
            }
            None => return false,
        };
        // Still with the lock of the session, so that who holds it sees no chunk in between.
        let mut queue = self.queue.lock();
        if !queue.is_open() {
            return false;
        }
        let (item, again) = match made {
            Ok(Made::Item(Item::End)) => {
                queue.stage = Stage::Complete;
                (Some(Item::End), false)
            }
            Ok(Made::Item(item)) => (Some(item), true),
            Ok(Made::Nothing) => (None, false),
            // The reader starts this again when it gives one of the others back.
            Err(error) if error == ENOMEM && queue.has_unread_image() => (None, false),
            Err(error) => {
                queue.stage = Stage::Failed(error);
                (None, false)
            }
        };
        if !matches!(item, Some(Item::Image { .. })) {
            queue.unmade(spare.take());
        }
        // By the invariant of `Queue` this loses none.
        let lost = item.is_some_and(|item| queue.ready.push_within_capacity(item).is_err());
        // No arc has to free what nobody will fill any more.
        let unused = match queue.is_open() {
            true => KVec::new(),
            false => core::mem::take(&mut queue.spare),
        };
        queue.events += 1;
        drop(queue);
        drop(guard);
        self.waker.wake();
        drop(unused);
        again && !lost
    }

    /// Has the producer run, with images of the calling process if the backend wants that.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is not one image.
    fn kick(this: &Task<Self>) -> Result {
        loop {
            let queue = this.queue.lock();
            let images = queue.images;
            if !queue.is_open() || images >= queue.depth {
                break;
            }
            drop(queue);
            let image = match B::image() {
                Ok(Some(image)) => image,
                Ok(None) => break,
                Err(_) if images > 0 => break,
                Err(error) => return Err(error),
            };
            let mut queue = this.queue.lock();
            if queue.is_open()
                && queue.images < queue.depth
                && queue.spare.push_within_capacity(image).is_ok()
            {
                queue.images += 1;
            }
        }
        this.start();
        Ok(())
    }
}

impl<B: Backend> Run for SaveFile<B> {
    /// The producer: makes chunks while there is memory for them.
    fn run(task: &Task<Self>) {
        while task.produce() {}
    }
}
