// SPDX-License-Identifier: GPL-2.0

//! Migration of the emulated device: what the core asks of it.
//!
//! Its image is its memory, in a first pass and then the pages that changed, and at the end all
//! registers and the configuration space; see [`crate::image`].

use crate::{
    device::Device,
    dma::Dma,
    engine,
    image::{
        self,
        Decoder,
        Piece,
        PAGE, //
    },
    log::Log, //
};
use kernel::{
    prelude::*,
    static_lock_class,
    sync::Arc, //
};
use vfio::{
    dma::UserMemory,
    emulated::REGION_BAR0,
    task::{
        Queue,
        Task, //
    }, //
};
use vfio_migration::{
    backend::{
        Backend,
        Buffer,
        Chunk,
        Failure,
        NoLanding,
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

/// Version of the image.
const VERSION: u32 = 2;
/// Pages of a chunk that is one item.
const CHUNK_PAGES: usize = 64;
const CHUNK_SIZE: usize = image::HEADER + CHUNK_PAGES * PAGE;

/// The backend of one device.
pub(crate) struct Emulated {
    features: Features,
    waker: Waker,
    device: Arc<Task<Device>>,
    dma: Arc<Task<Dma>>,
}

/// A session that saves.
pub(crate) struct Save {
    phase: Phase,
    /// The device's count of re-initialisations when the session began.
    base: u32,
    /// The same when the first pass began.
    reinits: u32,
    /// Where the search for marked pages goes on.
    search: usize,
    device_sent: bool,
}

/// A session that resumes.
pub(crate) struct Resume(Decoder);

impl Emulated {
    /// Makes a device with `size` bytes of memory, which does what it does by itself on `queue`. It
    /// does DMA to `memory`, whose log leaves out one of `lose` pages.
    pub(crate) fn new(
        features: Features,
        size: usize,
        queue: Arc<Queue>,
        memory: Arc<UserMemory>,
        lose: u32,
    ) -> Result<Arc<Self>> {
        let waker = Waker::new()?;
        let task = Task::new(
            queue.clone(),
            c"vfio_migration_emulated_tick",
            static_lock_class!(),
            Device::new(size, waker.clone()),
        );
        let device = Arc::pin_init(task, GFP_KERNEL)?;
        let task = Task::new(
            queue,
            c"vfio_migration_emulated_dma",
            static_lock_class!(),
            Dma::new(memory, device.clone(), lose),
        );
        let dma = Arc::pin_init(task, GFP_KERNEL)?;
        let this = Self {
            features,
            waker,
            device,
            dma,
        };
        Ok(Arc::new(this, GFP_KERNEL)?)
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn log(&self) -> &Log {
        self.dma.log()
    }

    /// Whether the DMA engine has what is there.
    fn is_engine(region: u32, offset: u64) -> bool {
        region == REGION_BAR0 && engine::REGISTERS.contains(&offset)
    }

    /// Reads from a region of the device.
    pub(crate) fn read(&self, region: u32, offset: u64, out: &mut [u8]) -> Result {
        if !Self::is_engine(region, offset) {
            return self.device.read(region, offset, out);
        }
        match out.len() {
            4 => out.copy_from_slice(&self.dma.read(offset).to_le_bytes()),
            _ => out.fill(0),
        }
        Ok(())
    }

    /// Writes to a region of the device.
    pub(crate) fn write(&self, region: u32, offset: u64, data: &[u8]) -> Result {
        if !Self::is_engine(region, offset) {
            return Device::write(&self.device, region, offset, data);
        }
        if let Ok(value) = data.try_into() {
            Dma::write(&self.dma, offset, u32::from_le_bytes(value));
        }
        Ok(())
    }

    /// Stops all that the device does by itself.
    fn stop(&self) -> Result {
        Dma::pause(&self.dma)?;
        Device::set_running(&self.device, false);
        Ok(())
    }

    fn pages(&self) -> usize {
        self.device.memory().page_count()
    }

    /// Puts an item of the pages `run` at the start of `out`; returns its length.
    fn put_pages(
        &self,
        save: &Save,
        run: core::ops::Range<usize>,
        out: &mut [u8],
    ) -> Result<usize> {
        let memory = self.device.memory();
        if save.phase == Phase::PreCopy {
            memory.protect(run.clone());
        }
        let len = image::HEADER + run.len() * PAGE;
        let item = out.get_mut(..len).ok_or(EINVAL)?;
        let (header, pages) = item.split_at_mut_checked(image::HEADER).ok_or(EINVAL)?;
        header.copy_from_slice(&image::pages_header(run.start, run.len()));
        memory.read(run.start * PAGE, pages)?;
        Ok(len)
    }

    /// Makes a chunk of the first pass; returns its length.
    fn save_pass(&self, save: &Save, out: &mut [u8]) -> Result<Option<usize>> {
        let tracker = self.device.memory().observer();
        let first = tracker.pass();
        let room = out.len().saturating_sub(image::HEADER) / PAGE;
        let end = self.pages().min(first.saturating_add(room));
        if first == end {
            return Ok(None);
        }
        tracker.advance(end);
        self.put_pages(save, first..end, out).map(Some)
    }

    /// Makes a chunk of as many marked pages as it takes.
    fn save_marked(&self, save: &mut Save, out: &mut [u8]) -> Result<Option<usize>> {
        let tracker = self.device.memory().observer();
        let mut len = 0;
        let mut wrapped = false;
        loop {
            let room = (out.len() - len).saturating_sub(image::HEADER) / PAGE;
            if room == 0 {
                break;
            }
            match tracker.take_run(save.search, room) {
                Some(run) => {
                    save.search = run.end;
                    len += self.put_pages(save, run, out.get_mut(len..).ok_or(EINVAL)?)?;
                }
                // Once around, so that no page waits for the others for ever.
                None if wrapped || save.search == 0 => break,
                None => {
                    wrapped = true;
                    save.search = 0;
                }
            }
        }
        Ok((len > 0).then_some(len))
    }

    /// Makes the last chunk, with all but the memory.
    fn save_device(&self, save: &mut Save, out: &mut [u8]) -> Result<Option<usize>> {
        if save.device_sent {
            return Ok(None);
        }
        let (registers, config) = self.device.registers();
        let item = image::device_item(&registers, &self.dma.engine(), &config);
        out.get_mut(..item.len())
            .ok_or(EINVAL)?
            .copy_from_slice(&item);
        save.device_sent = true;
        Ok(Some(item.len()))
    }

    /// Makes the next chunk in `out`; returns its length and whether it is of the first pass.
    fn save_next(&self, save: &mut Save, out: &mut [u8]) -> Result<Option<(usize, bool)>> {
        let reinits = self.device.reinits();
        if reinits != save.reinits {
            save.reinits = reinits;
            self.device.memory().observer().begin();
        }
        if let Some(len) = self.save_pass(save, out)? {
            return Ok(Some((len, true)));
        }
        let len = match (self.save_marked(save, out)?, save.phase) {
            (Some(len), _) => Some(len),
            (None, Phase::PreCopy) => None,
            (None, Phase::StopCopy) => self.save_device(save, out)?,
        };
        Ok(len.map(|len| (len, false)))
    }

    fn requirement(&self) -> [u8; REQUIREMENT_LEN] {
        let mut requirement = [0; REQUIREMENT_LEN];
        // CAST: Bytes of memory.
        let size = self.device.memory().size() as u64;
        requirement[..8].copy_from_slice(&size.to_le_bytes());
        requirement
    }
}

fn errno(error: image::Error) -> Error {
    match error {
        image::Error::Invalid => EINVAL,
        image::Error::Incomplete => ENODATA,
    }
}

#[vtable]
impl Backend for Emulated {
    type Save = Save;
    type Resume = Resume;
    type Image = Buffer;
    type Landing = NoLanding;

    // Only this backend makes streams for it, so each has an identity.
    const POLICY: Policy = Policy {
        identity: IdentityPolicy::Required,
        // CAST: A constant.
        max_record: CHUNK_SIZE as u64,
    };
    const CHUNK_SIZE: usize = CHUNK_SIZE;

    fn features(&self) -> Features {
        self.features
    }

    fn identity(&self) -> Identity {
        Identity {
            backend: Identity::name("emulated"),
            backend_version: VERSION,
            requirement: self.requirement(),
        }
    }

    fn waker(&self) -> &Waker {
        &self.waker
    }

    fn quiet(&self, arc: QuietArc) -> Result<(), Failure> {
        match arc {
            QuietArc::RunningToP2p => Dma::pause(&self.dma)?,
            QuietArc::P2pToRunning => Dma::resume(&self.dma),
            QuietArc::P2pToStop | QuietArc::RunningToStop => self.stop()?,
            QuietArc::StopToP2p => Device::set_running(&self.device, true),
            QuietArc::StopToRunning => {
                Device::set_running(&self.device, true);
                Dma::resume(&self.dma);
            }
        }
        Ok(())
    }

    fn begin_save(&self, phase: Phase) -> Result<Save, Failure> {
        self.device.memory().observer().begin();
        let reinits = self.device.reinits();
        Ok(Save {
            phase,
            base: reinits,
            reinits,
            search: 0,
            device_sent: false,
        })
    }

    fn image() -> Result<Option<Buffer>> {
        Buffer::new(CHUNK_SIZE).map(Some)
    }

    fn save(&self, save: &mut Save, spare: &mut Option<Buffer>) -> Result<Option<Chunk<Buffer>>> {
        let mut image = Buffer::take(spare, CHUNK_SIZE)?;
        let Some((len, initial)) = self.save_next(save, image.space())? else {
            *spare = Some(image);
            return Ok(None);
        };
        image.fill(len);
        Ok(Some(Chunk { image, initial }))
    }

    fn pending(&self, save: &mut Save) -> Result<Pending> {
        let tracker = self.device.memory().observer();
        let reinits = self.device.reinits();
        let (initial, dirty) = match reinits == save.reinits {
            true => (self.pages() - tracker.pass(), tracker.marked()),
            false => (self.pages(), 0),
        };
        // The first pass fills its chunks; at worst each marked page is an item of its own.
        let initial = initial * PAGE + initial.div_ceil(CHUNK_PAGES) * image::HEADER;
        let dirty = dirty * (image::HEADER + PAGE);
        Ok(Pending {
            // CAST: Bytes.
            initial: initial as u64,
            // CAST: Bytes.
            dirty: dirty as u64,
            reinits: reinits.wrapping_sub(save.base),
        })
    }

    fn stop_copy(&self, save: &mut Save) -> Result<(), Failure> {
        self.stop()?;
        save.phase = Phase::StopCopy;
        Ok(())
    }

    fn end_save(&self, _save: Save) -> Result {
        self.device.memory().observer().end();
        Ok(())
    }

    fn begin_resume(&self) -> Result<Resume, Failure> {
        Ok(Resume(Decoder::new(self.device.memory().size())))
    }

    fn load(&self, resume: &mut Resume, mut data: &[u8]) -> Result {
        loop {
            match resume.0.next(&mut data).map_err(errno)? {
                Piece::More => return Ok(()),
                Piece::Memory { offset, bytes } => self.device.memory().write(offset, bytes)?,
                Piece::Device => {
                    let (_, _, config) = resume.0.device().map_err(errno)?;
                    if !self.device.accepts(&config) {
                        return Err(EINVAL);
                    }
                }
            }
        }
    }

    fn finish_resume(&self, resume: &mut Resume) -> Result {
        let (registers, engine, config) = resume.0.device().map_err(errno)?;
        self.device.restore(registers, &config)?;
        self.dma.restore(engine);
        Ok(())
    }

    fn data_size(&self) -> Result<u64> {
        // At worst each page is an item of its own.
        let memory = self.pages() * (image::HEADER + PAGE);
        // CAST: Bytes.
        Ok((memory + image::HEADER + image::DEVICE_LEN) as u64)
    }

    fn reset(&self) {
        self.dma.reset();
        self.device.memory().observer().end();
        self.device.reset();
    }

    fn close(&self) {
        self.reset();
        self.device.vectors().clear();
    }
}
