// SPDX-License-Identifier: GPL-2.0

//! The objects of a function as bytes: numbers, big-endian, each of 8 bytes, and what has a length
//! after it. Reading them believes nothing.

use crate::function::{CommandQueue, Function, Phase};
use crate::layout::{capability, Quad, Slot};
use crate::memory::{Pages, PAGE};
use crate::object::{
    Cq, Eq, Mkey, Objects, Qp, QpState, Rq, Sq, Table, ANY_QP, FOR_EVER, MAX_LOG_QUEUE, MAX_PAGES,
};
use crate::status::{refuse, require, Failure, Result, Status};
use crate::work::MAX_MESSAGE;

const WRONG: Failure = Failure::new(Status::BadParam, "the image's objects make no sense");

/// What migrates beside the opaque state.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) phase: Phase,
    pub(super) queue: CommandQueue,
    pub(super) held: u32,
    pub(super) objects: Objects,
}

/// All objects of a function.
pub(super) fn encode(function: &Function) -> Vec<u8> {
    let (objects, queue) = (&function.objects, &function.queue);
    let mut out = Encoder(Vec::new());
    out.number(function.phase as u64);
    out.number(queue.address);
    out.number(queue.nic_interface);
    // What was rung and not begun is begun where it goes on.
    out.number(function.vhca.held | queue.busy);
    out.bytes(objects.capabilities.as_deref().unwrap_or(&[]));
    out.number(objects.command_eq.unwrap_or(0));
    out.table(&objects.uars, |_, ()| {});
    out.table(&objects.pds, |_, ()| {});
    out.table(&objects.mkeys, |out, mkey| {
        out.number(mkey.variant);
        out.number(mkey.pd);
        out.number(mkey.qpn);
        out.number(mkey.readable);
        out.number(mkey.writable);
        out.number(mkey.remote_writable);
        out.number(mkey.start);
        out.number(mkey.length);
        out.pages(&mkey.pages);
    });
    out.table(&objects.eqs, |out, eq| {
        out.number(eq.log_size);
        out.number(eq.producer);
        out.number(eq.consumer);
        out.number(eq.armed);
        out.number(eq.vector);
        out.number(eq.events);
        out.pages(&eq.pages);
    });
    out.table(&objects.cqs, |out, cq| {
        out.number(cq.log_size);
        out.number(cq.producer);
        out.number(cq.armed.is_some());
        out.number(cq.armed.unwrap_or(0));
        out.number(cq.eqn);
        out.number(cq.doorbell);
        out.pages(&cq.pages);
        out.number(cq.broken);
    });
    out.table(&objects.qps, |out, qp| {
        out.number(qp.state as u64);
        out.number(qp.pd);
        out.number(qp.remote);
        out.number(qp.remote_write);
        out.number(qp.rnr_retry);
        out.number(qp.doorbell);
        out.pages(&qp.pages);
        out.number(qp.rq.is_some());
        if let Some(rq) = &qp.rq {
            out.number(rq.log_size);
            out.number(rq.log_stride);
            out.number(rq.head);
            out.number(rq.cqn);
        }
        out.number(qp.sq.is_some());
        if let Some(sq) = &qp.sq {
            out.number(sq.log_size);
            out.number(sq.head);
            out.number(sq.cqn);
            out.number(sq.uar);
            out.number(sq.rung);
            out.number(sq.progress);
            out.number(sq.tries);
        }
    });
    out.0
}

struct Encoder(Vec<u8>);

impl Encoder {
    fn number(&mut self, value: impl Into<u64>) {
        self.0.extend(value.into().to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn pages(&mut self, pages: &Pages) {
        self.number(pages.0.len() as u64);
        pages.0.iter().for_each(|page| self.number(*page));
    }

    fn table<T>(&mut self, table: &Table<T>, mut each: impl FnMut(&mut Self, &T)) {
        self.number(table.iter().len() as u64);
        for (number, object) in table.iter() {
            self.number(number);
            each(self, object);
        }
    }
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(data: &[u8]) -> Result<Loaded> {
    let mut from = Decoder(data);
    let phase = from.one_of(&[Phase::Disabled, Phase::Enabled, Phase::Initialised])?;
    let queue = CommandQueue {
        address: from.number()?,
        nic_interface: from.small(8)?,
        busy: 0,
    };
    let held = from.word()?;
    let mut objects = Objects::default();
    let capabilities = from.bytes(capability::LENGTH)?;
    objects.capabilities = (!capabilities.is_empty()).then(|| capabilities.to_vec());
    let command_eq = from.word()?;
    objects.command_eq = (command_eq != 0).then_some(command_eq);
    from.table(&mut objects.uars, |_| Ok(()))?;
    from.table(&mut objects.pds, |_| Ok(()))?;
    from.table(&mut objects.mkeys, |from| {
        Ok(Mkey {
            variant: from.small(1 << 8)? as u8,
            pd: from.word()?,
            qpn: from.small(ANY_QP + 1)?,
            readable: from.flag()?,
            writable: from.flag()?,
            remote_writable: from.flag()?,
            start: from.number()?,
            length: from.number()?,
            pages: from.pages()?,
        })
    })?;
    from.table(&mut objects.eqs, |from| {
        Ok(Eq {
            log_size: from.small(MAX_LOG_QUEUE + 1)?,
            producer: from.word()?,
            consumer: from.small(1 << 24)?,
            armed: from.flag()?,
            vector: from.small(1 << 12)?,
            events: from.number()?,
            pages: from.pages()?,
        })
    })?;
    from.table(&mut objects.cqs, |from| {
        let log_size = from.small(MAX_LOG_QUEUE + 1)?;
        let producer = from.word()?;
        let (armed, index) = (from.flag()?, from.small(1 << 24)?);
        Ok(Cq {
            log_size,
            producer,
            armed: armed.then_some(index),
            eqn: from.word()?,
            doorbell: from.number()?,
            pages: from.pages()?,
            broken: from.flag()?,
        })
    })?;
    from.table(&mut objects.qps, |from| {
        Ok(Qp {
            state: from.one_of(&[
                QpState::Reset,
                QpState::Init,
                QpState::ReadyToReceive,
                QpState::ReadyToSend,
                QpState::Error,
            ])?,
            pd: from.word()?,
            remote: from.word()?,
            remote_write: from.flag()?,
            rnr_retry: from.small(FOR_EVER + 1)?,
            doorbell: from.number()?,
            pages: from.pages()?,
            rq: match from.flag()? {
                false => None,
                true => Some(Rq {
                    log_size: from.small(MAX_LOG_QUEUE + 1)?,
                    log_stride: from.small(8)?,
                    head: from.word()?,
                    cqn: from.word()?,
                }),
            },
            sq: match from.flag()? {
                false => None,
                true => Some(Sq {
                    log_size: from.small(MAX_LOG_QUEUE + 1)?,
                    head: from.word()?,
                    cqn: from.word()?,
                    uar: from.word()?,
                    rung: from.flag()?,
                    progress: from.number()?,
                    tries: from.small(FOR_EVER + 1)?,
                    scheduled: false,
                }),
            },
        })
    })?;
    require(
        from.0.is_empty(),
        Status::BadParam,
        "bytes after the image's objects",
    )?;
    check(phase, &objects)?;
    Ok(Loaded {
        phase,
        queue,
        held,
        objects,
    })
}

/// Do sizes and references fit, as they would had the driver made the objects?
fn check(phase: Phase, objects: &Objects) -> Result<()> {
    let pages_of = |bytes: u64| usize::try_from(bytes.div_ceil(PAGE as u64)).unwrap_or(usize::MAX);
    let mkeys = objects.mkeys.iter().all(|(_, mkey)| {
        objects.pds.get(mkey.pd).is_some()
            && mkey.length != 0
            && mkey.start.checked_add(mkey.length).is_some()
            && mkey.pages.0.len() == pages_of(mkey.length)
    });
    let eqs = objects
        .eqs
        .iter()
        .all(|(_, eq)| eq.pages.0.len() == pages_of(64 << eq.log_size));
    let cqs = objects.cqs.iter().all(|(_, cq)| {
        objects.eqs.get(cq.eqn).is_some() && cq.pages.0.len() == pages_of(64 << cq.log_size)
    });
    let qps = objects.qps.iter().all(|(_, qp)| {
        objects.pds.get(qp.pd).is_some()
            && qp.cqns().all(|cqn| objects.cqs.get(cqn).is_some())
            && qp.pages.0.len() == pages_of(qp.bytes())
            && qp
                .sq
                .as_ref()
                .is_none_or(|sq| objects.uars.get(sq.uar).is_some() && sq.progress <= MAX_MESSAGE)
    });
    let commands = objects
        .command_eq
        .is_none_or(|eqn| objects.eqs.get(eqn).is_some());
    let none = Objects {
        capabilities: objects.capabilities.clone(),
        ..Objects::default()
    };
    let early = phase == Phase::Initialised || *objects == none;
    if mkeys && eqs && cqs && qps && commands && early && objects.pages() <= MAX_PAGES {
        Ok(())
    } else {
        Err(WRONG)
    }
}

struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        if count > self.0.len() {
            return refuse(Status::BadParam, "the image's objects end in the middle");
        }
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64> {
        Ok(Quad(0).get(self.take(8)?))
    }

    fn word(&mut self) -> Result<u32> {
        self.number()?.try_into().map_err(|_| WRONG)
    }

    /// A number below `limit`.
    fn small(&mut self, limit: u32) -> Result<u32> {
        self.word()
            .and_then(|n| if n < limit { Ok(n) } else { Err(WRONG) })
    }

    fn flag(&mut self) -> Result<bool> {
        Ok(self.small(2)? == 1)
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> Result<T> {
        let index = self.small(all.len() as u32)?;
        Ok(all[index as usize])
    }

    /// At most `most` bytes.
    fn bytes(&mut self, most: usize) -> Result<&'a [u8]> {
        let length = self.small(most as u32 + 1)?;
        self.take(length as usize)
    }

    fn pages(&mut self) -> Result<Pages> {
        let count = self.small(MAX_PAGES as u32 + 1)? as usize;
        let bytes = self.take(count * 8)?;
        let pages: Vec<u64> = crate::layout::quads(bytes).collect();
        if pages.iter().any(|page| page % PAGE as u64 != 0) {
            return Err(WRONG);
        }
        Ok(Pages(pages))
    }

    fn table<T>(
        &mut self,
        table: &mut Table<T>,
        mut each: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<()> {
        for _ in 0..self.word()? {
            let number = self.word()?;
            let object = each(self)?;
            if !table.put(number, object) {
                return Err(WRONG);
            }
        }
        Ok(())
    }
}
