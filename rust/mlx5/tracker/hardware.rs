// SPDX-License-Identifier: GPL-2.0

//! What the firmware has for a page tracker, in the order in which it is made.

use super::{
    completions::Completions,
    events::{
        Events,
        Subscription, //
    },
    memory::Uar,
    queue_pair::Ring,
};
use crate::{
    bindings,
    command::{
        queue::{
            ConnectQp,
            CreateQp,
            DestroyQp,
            InitQp,
            SendQp, //
        },
        tracker::{
            CreateTracker,
            DestroyTracker,
            QueryTracker,
            Report,
            TrackerState, //
        },
        AllocPd,
        Command,
        CreateMkey,
        DeallocPd,
        DestroyMkey,
        Kind,
        Mode,
        Pf,
        QueryCapability, //
    },
    held::{
        judge,
        Again, //
    },
    layout::{
        capability::cmd_hca_cap as general,
        tracker::page_track_report_entry as entry, //
    },
    memory::{
        Buffer,
        Direction,
        Mapping, //
    },
    Access,
    Failure, //
};
use core::{
    mem,
    ops::RangeInclusive, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Sizes of a tracker, as powers of two; see [`Limits`](super::Limits).
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// The bytes of a page that it tells apart.
    pub page_shift: u32,
    /// The bytes of a message.
    pub message_shift: u32,
    /// The bytes of all ranges together, rounded up.
    pub space_shift: u32,
    /// The messages that there is room for, from 4 to 32768.
    pub queue_shift: u32,
}

/// What there is to receive.
pub(super) enum Step {
    /// So many pages; there may be more.
    Pages(usize),
    /// The report is over.
    Last,
    /// Nothing yet; there will be an event.
    Nothing,
}

/// A message that is being read.
struct Message {
    /// Where the rest of it is, in bytes of the buffer.
    at: usize,
    end: usize,
    last: bool,
}

/// One tracker. It is dropped after it was destroyed.
pub(super) struct Hardware {
    pf: Pf,
    parameters: Parameters,
    reporting: bool,
    message: Option<Message>,
    uar: Option<Uar>,
    pd: Option<u32>,
    completions: Option<Completions>,
    /// The memory that messages come into.
    memory: Option<Mapping>,
    key: Option<u32>,
    ring: Option<Ring>,
    receiver: Option<u32>,
    sender: Option<u32>,
    subscription: Option<Pin<KBox<Subscription>>>,
    object: Option<u32>,
}

/// Takes back what is in `slot`, if anything. Returns whether the firmware refused, and may go on using
/// what it was told of.
fn take_back<C: Command<Output = ()>>(
    access: &Access<'_>,
    last: bool,
    slot: &mut Option<u32>,
    what: &str,
    command: impl FnOnce(u32) -> C,
) -> Result<bool, Again> {
    let Some(number) = *slot else {
        return Ok(false);
    };
    let failure = judge(access.execute(&command(number)), last)?;
    *slot = None;
    if let Some(failure) = failure {
        pr_warn!("{what} of a page tracker is lost: {failure}\n");
    }
    Ok(failure.is_some())
}

impl Hardware {
    /// One of which nothing is made.
    pub(super) fn new(access: &Access<'_>, parameters: &Parameters) -> Self {
        Self {
            pf: access.pf(),
            parameters: *parameters,
            reporting: false,
            message: None,
            uar: None,
            pd: None,
            completions: None,
            memory: None,
            key: None,
            ring: None,
            receiver: None,
            sender: None,
            subscription: None,
            object: None,
        }
    }

    /// Makes it; after an error it is to be destroyed.
    pub(super) fn make(
        &mut self,
        access: &Access<'_>,
        ranges: &[RangeInclusive<u64>],
        events: Arc<Events>,
    ) -> Result {
        let pf = self.pf;
        let Parameters {
            message_shift,
            queue_shift,
            ..
        } = self.parameters;
        let capability = access.execute(&QueryCapability {
            kind: Kind::General,
            mode: Mode::Current,
            function: None,
        })?;
        let bytes = 1usize
            .checked_shl(message_shift + queue_shift)
            .ok_or(EOVERFLOW)?;

        let uar = self.uar.insert(Uar::new(pf)?);
        let pd = *self.pd.insert(access.execute(&AllocPd)?);
        let completions = Completions::new(pf, uar, queue_shift, events.clone())?;
        let completions = self.completions.insert(completions);
        let ring = self.ring.insert(Ring::new(pf, queue_shift)?);
        let mut create = CreateQp {
            pd,
            uar: uar.index(),
            // SAFETY: The PF is up.
            timestamps: unsafe { bindings::mlx5_default_timestamps(pf.as_raw()) },
            // CAST: A field of 4 bits.
            user_index: capability.get(general::cqe_version) as u32 == 1,
            receive: Some(ring.describe(completions.number())),
        };
        let receiver = *self.receiver.insert(access.execute(&create)?);
        create.receive = None;
        let sender = *self.sender.insert(access.execute(&create)?);
        let buffer = Arc::new(Buffer::with_capacity(bytes)?, GFP_KERNEL_ACCOUNT)?;
        let memory = Mapping::new(pf, &buffer, Direction::FromDevice)?;
        let memory = self.memory.insert(memory);
        let key = *self.key.insert(access.execute(&CreateMkey {
            pd,
            log_page_size: memory.shift(),
            addresses: &memory.addresses()?,
        })?);
        memory.give(buffer.len());
        ring.fill(key, message_shift)?;

        let mut connect = ConnectQp {
            qpn: receiver,
            remote: sender,
            // CAST: A field of 5 bits.
            log_max_message: capability.get(general::log_max_msg) as u32,
        };
        access.execute(&InitQp { qpn: receiver })?;
        access.execute(&connect)?;
        access.execute(&InitQp { qpn: sender })?;
        mem::swap(&mut connect.qpn, &mut connect.remote);
        access.execute(&connect)?;
        access.execute(&SendQp { qpn: sender })?;

        // From here on nothing that happens is missed.
        let subscription = Subscription::new(pf, events, [receiver, sender])?;
        self.subscription = Some(subscription);
        completions.arm(uar);
        let object = access.execute(&CreateTracker {
            log_page: self.parameters.page_shift,
            log_message: message_shift,
            log_space: self.parameters.space_shift,
            qpn: sender,
            ranges,
        })?;
        self.object = Some(object);
        Ok(())
    }

    /// Takes all of it back. Where the firmware refuses, memory that it may still use is kept, and a
    /// warning says so.
    ///
    /// # Errors
    ///
    /// [`Again`] if the firmware could not be told, and this is not the `last` try; the rest stays.
    pub(super) fn destroy(&mut self, access: &Access<'_>, last: bool) -> Result<(), Again> {
        let queue_pair = |qpn| DestroyQp { qpn };
        take_back(access, last, &mut self.object, "the object", |id| {
            DestroyTracker { id }
        })?;
        self.subscription = None;
        take_back(access, last, &mut self.sender, "a queue pair", queue_pair)?;
        if take_back(access, last, &mut self.receiver, "a queue pair", queue_pair)? {
            mem::forget(self.ring.take());
        }
        self.ring = None;
        if take_back(access, last, &mut self.key, "a buffer", DestroyMkey)? {
            mem::forget(self.memory.take());
        }
        if let Some(completions) = self.completions.take() {
            if let Err(completions) = completions.destroy(last) {
                self.completions = Some(completions);
                return Err(Again);
            }
        }
        take_back(access, last, &mut self.pd, "a protection domain", DeallocPd)?;
        Ok(())
    }

    /// Whether a report is under way.
    pub(super) fn is_reporting(&self) -> bool {
        self.reporting
    }

    /// Has a report begin.
    pub(super) fn report(
        &mut self,
        access: &Access<'_>,
        range: &RangeInclusive<u64>,
    ) -> Result<(), Failure> {
        let id = self.object.ok_or(Failure::Transport(ENOTCONN))?;
        access.execute(&Report { id, range })?;
        self.reporting = true;
        Ok(())
    }

    /// No report is under way any more.
    pub(super) fn end_report(&mut self) {
        self.reporting = false;
    }

    /// Asks for the state of the tracker.
    ///
    /// # Errors
    ///
    /// `EIO` if it has failed.
    pub(super) fn check(&self, access: &Access<'_>) -> Result {
        let id = self.object.ok_or(ENOTCONN)?;
        match access.execute(&QueryTracker { id })? {
            TrackerState::Error => Err(EIO),
            TrackerState::Tracking | TrackerState::Reporting => Ok(()),
        }
    }

    /// Takes pages of the message that is here, if there is one, or has the next one be told of.
    pub(super) fn receive(&mut self, pages: &mut [u64]) -> Result<Step> {
        let (Some(uar), Some(completions), Some(memory), Some(ring)) = (
            &self.uar,
            &mut self.completions,
            &self.memory,
            &mut self.ring,
        ) else {
            return Err(ENOTCONN);
        };
        let mut message = match self.message.take() {
            Some(message) => message,
            None => {
                let mut next = completions.peek()?;
                if next.is_none() {
                    completions.arm(uar);
                    next = completions.peek()?;
                }
                let Some(next) = next else {
                    return Ok(Step::Nothing);
                };
                let shift = self.parameters.message_shift;
                let at = ring.slot(next.counter)? << shift;
                // CAST: It is checked here.
                let bytes = next.bytes as usize;
                if bytes > 1 << shift || bytes % entry::SIZE != 0 {
                    return Err(EIO);
                }
                let last = match TrackerState::new(u64::from(next.immediate >> 28)) {
                    Some(TrackerState::Tracking) => true,
                    // One without anything that announces another would go on for ever.
                    Some(TrackerState::Reporting) if bytes != 0 => false,
                    _ => return Err(EIO),
                };
                memory.look(at..at + bytes);
                Message {
                    at,
                    end: at + bytes,
                    last,
                }
            }
        };
        let mut count = 0;
        for (page, at) in pages
            .iter_mut()
            .zip((message.at..message.end).step_by(entry::SIZE))
        {
            // The high dword comes first.
            *page = memory.load(at).ok_or(EINVAL)?;
            count += 1;
        }
        message.at += count * entry::SIZE;
        if message.at < message.end || (message.last && count != 0) {
            self.message = Some(message);
            return Ok(Step::Pages(count));
        }
        ring.consume();
        completions.consume();
        Ok(if message.last {
            Step::Last
        } else {
            Step::Pages(count)
        })
    }
}
