// SPDX-License-Identifier: GPL-2.0

//! The objects that a driver makes: queues, memory keys, domains. Numbers are per function.

use crate::memory::Pages;
use crate::status::{refuse, Result, Status};
use crate::tracker::Tracker;
use std::collections::BTreeMap;

/// Objects of one kind by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table<T> {
    first: u32,
    last: u32,
    objects: BTreeMap<u32, T>,
}

impl<T> Table<T> {
    /// Numbers are from `first` to `last`.
    pub(crate) const fn new(first: u32, last: u32) -> Self {
        Self {
            first,
            last,
            objects: BTreeMap::new(),
        }
    }

    /// Takes the lowest number that is free.
    pub(crate) fn add(&mut self, object: T) -> Result<u32> {
        match (self.first..=self.last).find(|n| !self.objects.contains_key(n)) {
            Some(number) => {
                self.objects.insert(number, object);
                Ok(number)
            }
            None => refuse(Status::ExceedLim, "all numbers are in use"),
        }
    }

    /// Takes `number`; false if it is in use, or is none.
    pub(crate) fn put(&mut self, number: u32, object: T) -> bool {
        (self.first..=self.last).contains(&number) && self.objects.insert(number, object).is_none()
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.objects.get(&number)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.objects.get_mut(&number)
    }

    /// The object, or the failure of a command that names it.
    pub(crate) fn find(&mut self, number: u32) -> Result<&mut T> {
        match self.objects.get_mut(&number) {
            Some(object) => Ok(object),
            None => refuse(Status::BadRes, "no such object"),
        }
    }

    pub(crate) fn remove(&mut self, number: u32) -> Result<T> {
        match self.objects.remove(&number) {
            Some(object) => Ok(object),
            None => refuse(Status::BadRes, "no such object to destroy"),
        }
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (u32, &T)> {
        self.objects
            .iter()
            .map(|(number, object)| (*number, object))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        self.objects
            .iter_mut()
            .map(|(number, object)| (*number, object))
    }
}

/// Event queue. The indices count without end; their low 24 bits are what the driver sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Eq {
    pub(crate) log_size: u32,
    pub(crate) producer: u32,
    pub(crate) consumer: u32,
    pub(crate) armed: bool,
    pub(crate) vector: u32,
    pub(crate) events: u64,
    pub(crate) pages: Pages,
}

/// Completion queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cq {
    pub(crate) log_size: u32,
    pub(crate) producer: u32,
    /// The consumer index that the driver armed it with.
    pub(crate) armed: Option<u32>,
    pub(crate) eqn: u32,
    pub(crate) doorbell: u64,
    pub(crate) pages: Pages,
    /// It was full when a completion came: it takes no more.
    pub(crate) broken: bool,
}

/// State of a QP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum QpState {
    #[default]
    Reset,
    Init,
    ReadyToReceive,
    ReadyToSend,
    Error,
}

/// Receive queue of a QP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rq {
    pub(crate) log_size: u32,
    pub(crate) log_stride: u32,
    /// Counts entries that were used up, without end.
    pub(crate) head: u32,
    pub(crate) cqn: u32,
}

impl Rq {
    /// Bytes of an entry.
    pub(crate) fn stride(&self) -> usize {
        RQ_ENTRY << self.log_stride
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> u64 {
        (self.stride() as u64) << self.log_size
    }
}

/// Send queue of a QP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sq {
    /// In units of [`WQEBB`].
    pub(crate) log_size: u32,
    /// Counts units that are done with, without end.
    pub(crate) head: u32,
    pub(crate) cqn: u32,
    /// The page whose doorbells are for it.
    pub(crate) uar: u32,
    /// It was rung, and there may be work.
    pub(crate) rung: bool,
    /// Bytes of the message at the head that have been moved.
    pub(crate) progress: u64,
    /// How often the other end had no receive for it.
    pub(crate) tries: u32,
    /// An event for it is under way. Not part of what migrates.
    pub(crate) scheduled: bool,
}

impl Sq {
    /// Bytes of all entries.
    pub(crate) fn bytes(&self) -> u64 {
        (WQEBB as u64) << self.log_size
    }
}

/// Queue pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Qp {
    pub(crate) state: QpState,
    pub(crate) pd: u32,
    pub(crate) remote: u32,
    /// The other end may write to memory by RDMA.
    pub(crate) remote_write: bool,
    /// How often to ask for a receive; [`FOR_EVER`].
    pub(crate) rnr_retry: u32,
    /// Where the driver's indices are: of the receive queue, then of the send queue.
    pub(crate) doorbell: u64,
    /// The receive queue, and after it the send queue.
    pub(crate) pages: Pages,
    pub(crate) rq: Option<Rq>,
    pub(crate) sq: Option<Sq>,
}

impl Qp {
    /// Bytes of both queues.
    pub(crate) fn bytes(&self) -> u64 {
        self.rq.as_ref().map_or(0, Rq::bytes) + self.sq.as_ref().map_or(0, Sq::bytes)
    }

    /// The CQs that its completions go to.
    pub(crate) fn cqns(&self) -> impl Iterator<Item = u32> {
        let rq = self.rq.as_ref().map(|rq| rq.cqn);
        rq.into_iter().chain(self.sq.as_ref().map(|sq| sq.cqn))
    }
}

/// Memory key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mkey {
    /// The low 8 bits of the key.
    pub(crate) variant: u8,
    pub(crate) pd: u32,
    /// The QP that alone may use it, or [`ANY_QP`].
    pub(crate) qpn: u32,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) remote_writable: bool,
    pub(crate) start: u64,
    pub(crate) length: u64,
    pub(crate) pages: Pages,
}

/// `qpn` of a memory key that any QP may use.
pub(crate) const ANY_QP: u32 = 0xff_ffff;
/// `rnr_retry` of a QP that does not give up.
pub(crate) const FOR_EVER: u32 = 7;
/// Bytes of the smallest entry of a receive queue.
pub(crate) const RQ_ENTRY: usize = 16;
/// Bytes of the unit of a send queue.
pub(crate) const WQEBB: usize = 64;
/// The most numbers of a kind, but for those that the hardware's format limits.
pub(crate) const MAX_OBJECTS: u32 = 4096;
/// The most EQs, as told in the capabilities.
pub(crate) const MAX_EQS: u32 = 64;
/// The largest queue, as a power of two of entries.
pub(crate) const MAX_LOG_QUEUE: u32 = 16;
/// The most pages that all objects of a function may name together: 16 GiB of memory.
pub(crate) const MAX_PAGES: usize = 4 << 20;

/// All objects of a function. This is what migrates with it, but for the trackers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Objects {
    /// What SET_HCA_CAP set.
    pub(crate) capabilities: Option<Vec<u8>>,
    /// The EQ of the commands' completions.
    pub(crate) command_eq: Option<u32>,
    pub(crate) uars: Table<()>,
    pub(crate) pds: Table<()>,
    pub(crate) mkeys: Table<Mkey>,
    pub(crate) eqs: Table<Eq>,
    pub(crate) cqs: Table<Cq>,
    pub(crate) qps: Table<Qp>,
    /// Of the PF only; they stay with it.
    pub(crate) trackers: Table<Tracker>,
}

impl Default for Objects {
    fn default() -> Self {
        use crate::registers::{UAR_FIRST, UAR_LAST};

        Self {
            capabilities: None,
            command_eq: None,
            uars: Table::new(UAR_FIRST, UAR_LAST),
            pds: Table::new(1, MAX_OBJECTS),
            mkeys: Table::new(1, MAX_OBJECTS),
            eqs: Table::new(1, MAX_EQS),
            cqs: Table::new(1, MAX_OBJECTS),
            qps: Table::new(1, MAX_OBJECTS),
            trackers: Table::new(1, crate::tracker::MAX_TRACKERS),
        }
    }
}

impl Objects {
    /// The number of pages that all of them name.
    pub(crate) fn pages(&self) -> usize {
        let mkeys = self.mkeys.iter().map(|(_, mkey)| mkey.pages.0.len());
        let eqs = self.eqs.iter().map(|(_, eq)| eq.pages.0.len());
        let cqs = self.cqs.iter().map(|(_, cq)| cq.pages.0.len());
        let qps = self.qps.iter().map(|(_, qp)| qp.pages.0.len());
        mkeys.chain(eqs).chain(cqs).chain(qps).sum()
    }
}
